"""Writes to people's keys, zones and sessions. Each function is one short transaction."""

import hashlib
import secrets
from datetime import datetime, timedelta

from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from billing_site.accounts.models import ApiKey, User
from billing_site.accounts.zones import validate_zone
from credits.models import Account
from credits.services import record_action

RANDOM_BYTES = 32
PREFIX_CHARS = 9  # "bs_" and enough of the key to recognise it by
MAX_NAME_CHARS = 80
MAX_KEYS = 20  # active ones, per user
LAST_USED_PRECISION = timedelta(minutes=1)


class ApiKeyError(Exception):
    """The key was not made. The message is a sentence that may be shown."""


class ApiKeyNameTaken(ApiKeyError):
    """An active key of the user has this name: it would not be clear which one to revoke."""


class TooManyApiKeys(ApiKeyError):
    """The user has MAX_KEYS active keys."""


def create_api_key(*, user: User, name: str, now: datetime, staff: str = "") -> tuple[ApiKey, str]:
    """A new key and its plain text, which cannot be had again.

    With `staff`, who makes it in the user's stead, it is in the audit log.

    Raises ApiKeyNameTaken (so a form that is sent twice makes one key) and TooManyApiKeys.
    """
    plain = f"bs_{secrets.token_urlsafe(RANDOM_BYTES)}"
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)
        active = ApiKey.objects.filter(user=user, revoked_at=None)
        if active.filter(name=name).exists():
            raise ApiKeyNameTaken(
                _("You already have a key named “%s”. If you did not copy it, revoke it first.")
                % name
            )
        if active.count() >= MAX_KEYS:
            raise TooManyApiKeys(_("You have %d keys: revoke one first.") % MAX_KEYS)
        key = ApiKey.objects.create(
            user=user, name=name, prefix=plain[:PREFIX_CHARS], digest=_digest(plain), created_at=now
        )
        if staff:
            _log_key("apikey.create", key, staff, now)
    return key, plain


def revoke_api_key(*, key: ApiKey, now: datetime, staff: str = "") -> bool:
    """Ends the key at once and for ever; says whether it was active. Repeating changes nothing.

    With `staff`, who does it for the key's user, it is in the audit log.
    """
    with transaction.atomic():
        was_active = ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now)
        if was_active and staff:
            _log_key("apikey.revoke", key, staff, now)
    key.refresh_from_db()
    return bool(was_active)


def account_of(user_id: int) -> int | None:
    """Where the customer's page tells of what was done to a person; None without an account."""
    return Account.objects.filter(user_id=user_id).values_list("pk", flat=True).first()


def _log_key(action: str, key: ApiKey, actor: str, now: datetime) -> None:
    record_action(
        actor=actor,
        action=action,
        account_id=account_of(key.user_id),
        target=f"user:{key.user_id}",
        reason="",
        after={"prefix": key.prefix},
        now=now,
    )


def find_user_by_key(*, key: str, now: datetime) -> User | None:
    """The active user whom an unrevoked key speaks for. Notes, to the minute, that it was used."""
    keys = ApiKey.objects.select_related("user").filter(revoked_at=None, user__is_active=True)
    found = keys.filter(digest=_digest(key)).first()
    if found is None:
        return None
    if found.last_used_at is None or found.last_used_at <= now - LAST_USED_PRECISION:
        ApiKey.objects.filter(pk=found.pk).update(last_used_at=now)
    return found.user


def users_of_key(term: str) -> list[int]:
    """The ids of the users whose key this is: the whole key, or its beginning that lists show.

    Also of a revoked key. Notes nothing: this is for staff.
    """
    if not term.startswith("bs_"):
        return []
    named = Q(prefix=term) if len(term) == PREFIX_CHARS else Q(digest=_digest(term))
    return list(ApiKey.objects.filter(named).values_list("user_id", flat=True))


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def notice_zone(*, user: User, name: str) -> None:
    """Keeps the time zone of the person's browser unless one is known. Raises ValidationError."""
    validate_zone(name)
    User.objects.filter(pk=user.pk, timezone="").update(timezone=name)


def choose_zone(*, user: User, name: str) -> None:
    """The person's own choice; empty for UTC. Raises ValidationError."""
    if name:
        validate_zone(name)
    user.timezone = name
    user.save(update_fields=["timezone"])


def forget_sessions(*, now: datetime) -> int:
    """Deletes sessions that have ended; returns how many."""
    deleted, _by_model = Session.objects.filter(expire_date__lte=now).delete()
    return deleted
