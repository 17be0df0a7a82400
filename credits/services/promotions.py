"""Promotional codes: a word that is good for credits, once per account."""

import re
import secrets
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q

from credits.books import Kind, Why, locked
from credits.models import (
    CreditLot,
    FailedRedemption,
    Pool,
    PromotionalCode,
    Redemption,
    RetailToken,
)
from credits.services.audit_log import record_action
from credits.services.errors import (
    CodeExists,
    CodeExpired,
    CodeForNewCustomers,
    CodeNotFound,
    CodeUsedUp,
    InvalidCode,
    PromotionalCodeError,
    TooManyAttempts,
    check_amount,
)
from credits.services.grants import add_lot

ALPHABET = "ABCDEFGHJKMNPQRSTVWXYZ23456789"  # without what is read as something else
RANDOM_LETTERS = 10  # 49 bits
MOST_AT_ONCE = 10_000
MOST_DAYS = 3_650
FAILURES_AN_HOUR = 10
HOUR = timedelta(hours=1)


def redeem_code(*, account_id: int, code: str, now: datetime) -> Redemption:
    """Adds the credits of a promotional code. Redeeming it again returns the first redemption.

    The account is locked before the code, and the code last, so redemptions cannot deadlock; the
    last use goes to one account, whoever else asks for it at the same moment.

    Raises CodeNotFound, CodeExpired, CodeUsedUp, CodeForNewCustomers, and TooManyAttempts after
    FAILURES_AN_HOUR codes that were not good. AccountNotFound.
    """
    try:
        with transaction.atomic():
            return _redeem(account_id, normalised(code), now)
    except PromotionalCodeError:
        FailedRedemption.objects.filter(account_id=account_id, created_at__lte=now - HOUR).delete()
        FailedRedemption.objects.create(account_id=account_id, created_at=now)
        raise


def create_codes(
    *,
    campaign: str,
    amount: int,
    days: int,
    actor: str,
    now: datetime,
    code: str = "",
    beginning: str = "",
    count: int = 1,
    most_uses: int | None = None,
    valid_from: datetime | None = None,
    valid_until: datetime | None = None,
    new_customers_only: bool = False,
) -> list[PromotionalCode]:
    """One code with the given word, or `count` random ones that begin with `beginning`.

    Each is good for `amount` credits, which live for `days` days after they are redeemed.

    Raises InvalidCode, InvalidAmount, CodeExists.
    """
    check_amount(amount)
    check_amount(days, most=MOST_DAYS)
    check_amount(count, most=MOST_AT_ONCE)
    if most_uses is not None:
        check_amount(most_uses)
    if valid_until is not None and valid_until <= (valid_from or now):
        raise InvalidCode("The code would end before it begins.")
    words = [_word(code)] if code else [_random(beginning) for _ in range(count)]
    new = [
        PromotionalCode(
            code=word,
            campaign=campaign,
            credits=amount,
            days=days,
            most_uses=most_uses,
            valid_from=valid_from or now,
            valid_until=valid_until,
            new_customers_only=new_customers_only,
            created_by=actor,
            created_at=now,
        )
        for word in words
    ]
    first = words[0]
    with transaction.atomic():
        if PromotionalCode.objects.filter(code__in=words).exists():
            raise CodeExists("There is such a code already.")
        made = PromotionalCode.objects.bulk_create(new, batch_size=1_000)
        record_action(
            actor=actor,
            action="codes.create",
            target=first if count == 1 else f"{count} codes from {first}",
            reason=campaign,
            after={
                "credits": amount,
                "days": days,
                "most_uses": most_uses,
                "valid_from": (valid_from or now).isoformat(),
                "valid_until": valid_until.isoformat() if valid_until else None,
                "new_customers_only": new_customers_only,
            },
            now=now,
        )
    return made


@transaction.atomic
def switch_off_code(*, code_id: int, actor: str, now: datetime) -> None:
    """Nobody can redeem the code any more; what it gave stays. Repeating changes nothing."""
    code = PromotionalCode.objects.select_for_update().get(pk=code_id)
    if code.active:
        code.active = False
        code.save(update_fields=["active"])
        record_action(
            actor=actor,
            action="codes.switch_off",
            target=code.code,
            reason=code.campaign,
            before={"uses": code.uses},
            now=now,
        )


def normalised(code: str) -> str:
    """As codes are stored: people type them in small letters, with spaces around."""
    return code.strip().upper()


def _redeem(account_id: int, word: str, now: datetime) -> Redemption:
    with locked(account_id, now=now) as books:
        _refuse_guessing(account_id, now)
        code = PromotionalCode.objects.filter(code=word).first() if word.isprintable() else None
        if code is None:
            raise CodeNotFound
        earlier = Redemption.objects.filter(code=code, account_id=account_id).first()
        if earlier is not None:
            return earlier
        _check(code, account_id, now)
        _use_up(code)
        lot = CreditLot(
            pool=Pool.PROMOTIONAL,
            granted=code.credits,
            source_key=f"code:{code.pk}:{account_id}",
            expires_at=now + timedelta(days=code.days),
            terms={"code": code.code, "campaign": code.campaign},
        )
        add_lot(books, Kind.GRANT, lot, Why(lot.source_key, "customer", f"Code {code.code}"))
    return Redemption.objects.create(code=code, account_id=account_id, lot=lot, created_at=now)


def _check(code: PromotionalCode, account_id: int, now: datetime) -> None:
    if not code.active or now < code.valid_from:
        raise CodeNotFound
    if code.valid_until is not None and now >= code.valid_until:
        raise CodeExpired
    if code.new_customers_only and _has_paid(account_id):
        raise CodeForNewCustomers


def _use_up(code: PromotionalCode) -> None:
    """One use less, if there is one left: the database decides who gets the last."""
    free = Q(most_uses__isnull=True) | Q(uses__lt=F("most_uses"))
    if not PromotionalCode.objects.filter(free, pk=code.pk).update(uses=F("uses") + 1):
        raise CodeUsedUp


def _has_paid(account_id: int) -> bool:
    paid = {"account_id": account_id, "amount_paid__gt": 0}
    return CreditLot.objects.filter(**paid).exists() or RetailToken.objects.filter(**paid).exists()


def _refuse_guessing(account_id: int, now: datetime) -> None:
    failures = FailedRedemption.objects.filter(account_id=account_id, created_at__gt=now - HOUR)
    latest = failures.order_by("-created_at").values_list("created_at", flat=True)
    at_the_limit = latest[FAILURES_AN_HOUR - 1 : FAILURES_AN_HOUR].first()
    if at_the_limit is not None:
        raise TooManyAttempts(int((at_the_limit + HOUR - now).total_seconds()) + 1)


def _word(code: str) -> str:
    word = normalised(code)
    if not re.fullmatch(r"[A-Z0-9][A-Z0-9-]{2,39}", word):
        raise InvalidCode("A code has 3 to 40 letters A-Z, digits and hyphens.")
    return word


def _random(beginning: str) -> str:
    letters = "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_LETTERS))
    return _word(f"{beginning}-{letters}" if beginning else letters)
