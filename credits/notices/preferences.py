"""Which mails an account wants. Those about its money are a must; the rest can be switched off."""

from dataclasses import dataclass
from datetime import datetime

from django.core import signing
from django.db import transaction

from credits import queries
from credits.models import Account, Notice, NoticePreferences

Kind = Notice.Kind

SALT = "credits.notices.unsubscribe"
# The field that switches each kind; all other kinds are a must.
SWITCHES = {
    Kind.RENEWAL: "renewals",
    Kind.EXPIRING: "expiring",
    Kind.LOW_BALANCE: "low_balance",
}


class InvalidToken(Exception):
    """The link was not made by this site, or was cut short."""


@dataclass(frozen=True)
class Unsubscription:
    """What an unsubscribe link stands for."""

    account_id: int
    kind: Notice.Kind


def preferences_of(*, account_id: int) -> NoticePreferences:
    """The account's wishes; the defaults, not stored, if it never said any."""
    found = NoticePreferences.objects.filter(account_id=account_id).first()
    return found or NoticePreferences(account_id=account_id)


def save_preferences(
    *, account_id: int, renewals: bool, expiring: bool, low_balance: int | None, now: datetime
) -> None:
    """Keeps the account's wishes. A threshold that the balance is below already tells nothing."""
    with transaction.atomic():
        wishes, _created = NoticePreferences.objects.select_for_update().get_or_create(
            account_id=account_id
        )
        if low_balance != wishes.low_balance:
            available = queries.balance(account_id=account_id, now=now).available
            wishes.low_since = now if low_balance and available < low_balance else None
        wishes.renewals, wishes.expiring, wishes.low_balance = renewals, expiring, low_balance
        wishes.save()


def unsubscribe(*, account_id: int, kind: Notice.Kind) -> None:
    """Switches a kind off. Repeating changes nothing."""
    off = None if kind == Kind.LOW_BALANCE else False
    NoticePreferences.objects.update_or_create(
        account_id=account_id, defaults={SWITCHES[kind]: off}
    )


def reason_to_skip(notice: Notice) -> str:
    """Why a notice is not to be sent, in words; "" if it is."""
    assert notice.account is not None, "mails to staff are sent elsewhere"
    user = notice.account.user
    if not user.is_active or not user.email:
        return "The user cannot sign in any more."
    switch = SWITCHES.get(Kind(notice.kind))
    if switch and not getattr(preferences_of(account_id=notice.account.pk), switch):
        return "Switched off by the customer."
    return ""


def unsubscribe_token(notice: Notice) -> str:
    """Signed, so that nobody unsubscribes somebody else; it never expires. "" where not allowed."""
    if notice.kind not in SWITCHES:
        return ""
    return signing.dumps([notice.account_id, str(notice.kind)], salt=SALT)


def read_token(token: str) -> Unsubscription:
    """Raises InvalidToken."""
    try:
        account_id, kind = signing.loads(token, salt=SALT)
    except (signing.BadSignature, ValueError):
        raise InvalidToken from None
    if kind not in SWITCHES or not Account.objects.filter(pk=account_id).exists():
        raise InvalidToken
    return Unsubscription(account_id, Kind(kind))
