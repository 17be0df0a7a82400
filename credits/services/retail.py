"""Retail tokens: one payment, one successful generation, never again."""

from datetime import datetime
from typing import Any

from credits.books import Books, locked
from credits.models import Account, RetailToken
from credits.services.errors import (
    AccountFrozen,
    IdempotencyConflict,
    RetailTokenUnavailable,
    check_key,
    check_paid,
)

State = RetailToken.State


def issue_retail_token(
    *,
    account_id: int,
    source_key: str,
    now: datetime,
    amount_paid: int = 0,
    currency: str = "",
    terms: dict[str, Any] | None = None,
) -> RetailToken:
    """One token for one payment. `amount_paid` is in minor units of `currency`.

    Raises IdempotencyConflict if the key made another account's token, InvalidAmount,
    InvalidKey, AccountNotFound.
    """
    check_paid(amount_paid)
    check_key(source_key)
    with locked(account_id, now=now):
        token, _created = RetailToken.objects.get_or_create(
            source_key=source_key,
            defaults={
                "account_id": account_id,
                "amount_paid": amount_paid,
                "currency": currency,
                "terms": terms or {},
                "created_at": now,
            },
        )
    if token.account_id != account_id:
        raise IdempotencyConflict(source_key)
    return token


def reserve_retail_token(*, account_id: int, reference: str, now: datetime) -> RetailToken:
    """Takes the oldest free token for the generation that `reference` names.

    Raises RetailTokenUnavailable, AccountFrozen, AccountNotFound.
    """
    with locked(account_id, now=now) as books:
        token = RetailToken.objects.filter(generation_reference=reference).first()
        if token is None:
            token = _free_token(books)
            _move(token, State.AVAILABLE, State.RESERVED, generation_reference=reference)
        elif token.account_id != account_id or token.state != State.RESERVED:
            raise RetailTokenUnavailable("This generation has already used its token.")
        return token


def use_retail_token(*, account_id: int, reference: str, now: datetime) -> RetailToken:
    """The generation succeeded: its token is used, for ever. Repeating changes nothing.

    Raises RetailTokenUnavailable if no token is reserved for it.
    """
    with locked(account_id, now=now):
        token = _token_of(account_id, reference)
        if token.state != State.USED:
            _move(token, State.RESERVED, State.USED, settled_at=now)
        return token


def return_retail_token(*, account_id: int, reference: str, now: datetime) -> None:
    """The generation failed: its token is free again. Repeating changes nothing.

    Raises RetailTokenUnavailable if the generation has used it.
    """
    with locked(account_id, now=now):
        token = RetailToken.objects.filter(
            account_id=account_id, generation_reference=reference
        ).first()
        if token is not None:
            _move(token, State.RESERVED, State.AVAILABLE, generation_reference=None)


def revoke_retail_token(*, source_key: str, now: datetime) -> RetailToken:
    """The payment was refunded: the token can no longer be used. Repeating changes nothing.

    Raises RetailTokenUnavailable if a generation has used it or is using it right now,
    RetailToken.DoesNotExist.
    """
    account_id = RetailToken.objects.values_list("account_id", flat=True).get(source_key=source_key)
    with locked(account_id, now=now):
        token = RetailToken.objects.get(source_key=source_key)
        if token.state != State.REVOKED:
            _move(token, State.AVAILABLE, State.REVOKED, settled_at=now)
        return token


def restore_retail_token(*, source_key: str, now: datetime) -> RetailToken:
    """The refund failed: the revoked token is free again. Repeating changes nothing.

    Raises RetailToken.DoesNotExist.
    """
    account_id = RetailToken.objects.values_list("account_id", flat=True).get(source_key=source_key)
    with locked(account_id, now=now):
        token = RetailToken.objects.get(source_key=source_key)
        if token.state == State.REVOKED:
            _move(token, State.REVOKED, State.AVAILABLE, settled_at=None)
        return token


def _free_token(books: Books) -> RetailToken:
    if books.status == Account.Status.FROZEN:
        raise AccountFrozen
    free = RetailToken.objects.filter(account_id=books.account_id, state=State.AVAILABLE)
    token = free.order_by("pk").first()
    if token is None:
        raise RetailTokenUnavailable("There is no single generation left: buy one, or use credits.")
    return token


def _token_of(account_id: int, reference: str) -> RetailToken:
    try:
        return RetailToken.objects.get(account_id=account_id, generation_reference=reference)
    except RetailToken.DoesNotExist:
        raise RetailTokenUnavailable(f"No token is reserved for {reference}.") from None


def _move(token: RetailToken, old: State, new: State, **fields: Any) -> None:
    """Changes the state if it is still `old`; otherwise the token is unavailable."""
    row = RetailToken.objects.filter(pk=token.pk, state=old)
    if not row.update(state=new, **fields):
        raise RetailTokenUnavailable(f"This single generation is {token.get_state_display()}.")
    token.refresh_from_db()
