"""Deleting an account: the person goes, the books stay. docs/privacy.md says what is kept and why.

Note [The order of an erasure]
    1. The credit account is frozen: no generation, checkout or purchase can start after that.
    2. Stripe is asked to end subscriptions and open sessions, outside any transaction. If it cannot
       be reached, the account is as it was before.
    3. Open generations are canceled, which gives back what they hold, and all texts are emptied.
    4. Stored events lose their personal data.
    5. In one transaction the user becomes nobody: keys, addresses, second factor, password. The
       account is frozen once more: another deletion, whose step 2 failed, may have undone that.
    Each step may be repeated, so whoever was interrupted does it again. Until the last one the
    person can still sign in and do just that. What Stripe sends later is handled by `follow_up`.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from axes.models import AccessAttempt
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import transaction

from billing_site.accounts.models import User
from credits import queries
from credits import services as credits
from credits.models import Account
from credits.payments import ending, scrubbing
from generation import queries as generation_queries
from generation import services as generation

RECENT = timedelta(days=2)  # how far back `follow_up` looks for events of the erased


@dataclass(frozen=True)
class Losses:
    """What the person gives up by leaving."""

    credits: int
    tokens: int
    owed: int
    open_generations: int
    has_plan: bool


def losses(*, user: User, now: datetime) -> Losses:
    """What is said before it is confirmed."""
    account = credits.open_account(user_id=user.pk, now=now)
    balance = queries.balance(account_id=account.pk, now=now)
    generations = generation_queries.generations(account_id=account.pk)
    return Losses(
        credits=balance.available + balance.held,
        tokens=balance.retail_tokens,
        owed=balance.owed,
        open_generations=generations.filter(finished_at=None).count(),
        has_plan=ending.has_plan(account_id=account.pk),
    )


def erase(*, user: User, now: datetime, actor: str = "", reason: str = "") -> None:
    """Deletes the account for good, for its owner or for staff. Repeating changes nothing.

    With an `actor`, other than its owner, it is in the audit log. See Note [The order of an
    erasure]. Not inside a transaction.

    Raises SellingUnavailable if Stripe cannot be asked to end what is paid for; nothing has changed
    then.
    """
    if user.erased_at is not None:
        return
    account = credits.open_account(user_id=user.pk, now=now)
    was_frozen = account.status == Account.Status.FROZEN
    by = {"actor": actor or "system", "reason": reason}
    credits.freeze_account(account_id=account.pk, now=now, **by)
    try:
        ending.end_at_once(account_id=account.pk)
    except Exception:
        if not was_frozen:
            _stay(user, account, now, by)
        raise
    generation.erase_texts(account_id=account.pk, now=now)
    scrubbing.scrub_events(account_id=account.pk)
    with transaction.atomic(durable=True):
        became_nobody = _become_nobody(user, now)
        credits.freeze_account(account_id=account.pk, now=now, **by)
        if became_nobody and actor:
            credits.record_action(
                actor=actor,
                action="person.erase",
                account_id=account.pk,
                target=f"user:{user.pk}",
                reason=reason,
                now=now,
            )
    user.refresh_from_db()


def follow_up(*, now: datetime) -> None:
    """What came after an erasure: subscriptions that began anyway are ended, new events scrubbed.

    Raises SellingUnavailable; the next call does the rest.
    """
    erased = Account.objects.filter(user__erased_at__isnull=False)
    ids = list(erased.values_list("pk", flat=True))
    for account in erased.filter(inbox_events__received_at__gt=now - RECENT).distinct():
        scrubbing.scrub_events(account_id=account.pk)
    for account_id in ending.accounts_with_plans(ids):
        ending.end_at_once(account_id=account_id)


def _stay(user: User, account: Account, now: datetime, by: dict[str, str]) -> None:
    """The account is as it was, unless another deletion has come to its end meanwhile."""
    with transaction.atomic(durable=True):
        if User.objects.select_for_update().get(pk=user.pk).erased_at is None:
            credits.unfreeze_account(account_id=account.pk, now=now, **by)


def _become_nobody(user: User, now: datetime) -> bool:
    """The password goes, and with it every session: they are tied to it. False if it was before."""
    row = User.objects.select_for_update().get(pk=user.pk)
    if row.erased_at is not None:  # somebody else was faster
        return False
    addresses = EmailAddress.objects.filter(user=row)
    known_as = {row.email, *addresses.values_list("email", flat=True)}
    addresses.delete()
    Authenticator.objects.filter(user=row).delete()
    row.api_keys.filter(revoked_at=None).update(revoked_at=now)
    row.api_keys.update(name="erased")
    AccessAttempt.objects.filter(username__in=known_as).delete()
    row.groups.clear()
    row.user_permissions.clear()
    row.email = f"erased-{secrets.token_hex(8)}@erased.invalid"
    row.set_unusable_password()
    row.is_active = row.is_staff = row.is_superuser = False
    row.timezone, row.last_login, row.erased_at = "", None, now
    row.save()
    about = LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(User))
    about.filter(object_id=str(row.pk)).update(object_repr=row.email)
    return True
