"""Adjustments by staff: within a limit at once, above it when a second person agrees.

Each is one call or two of the ordinary services, in one transaction with its line in the audit
log. A preview runs the very same code and rolls it back, so it shows what will happen.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.db.models import Sum
from django.utils.dateparse import parse_datetime

from credits.models import Account, Adjustment, CreditLot, Hold, LedgerEntry, Pool, RetailToken
from credits.services.audit_log import record_action
from credits.services.corrections import Direction, adjust, extend_lot
from credits.services.errors import (
    AdjustmentSettled,
    BooksChanged,
    IdempotencyConflict,
    InvalidAdjustment,
    OwnAdjustment,
)
from credits.services.holds import refund_spend
from credits.services.rehearsal import lines_since, rehearsal
from credits.services.retail import issue_retail_token, revoke_retail_token

Kind = Adjustment.Kind
State = Adjustment.State
Terms = dict[str, Any]

LIFE = timedelta(days=7)
LIMIT_PERIOD = timedelta(days=1)


@dataclass(frozen=True)
class Posting:
    """One posting of an adjustment: what the services need to know about it."""

    key: str
    actor: str
    note: str
    now: datetime


@dataclass(frozen=True)
class Preview:
    """What an adjustment would do now, and the books' sequence that this was computed from."""

    entries: list[LedgerEntry]
    weight: int
    sequence: int


def preview_adjustment(*, account_id: int, kind: str, terms: Terms, now: datetime) -> Preview:
    """What it would post, computed by posting it and rolling back.

    Raises what posting it would raise: InvalidAdjustment, InvalidAmount, InsufficientCredits, ...
    """
    with rehearsal():
        account = Account.objects.locked().get(pk=account_id)
        weight = _weigh(account_id, kind, terms)
        _apply(account_id, kind, terms, Posting("preview", "preview", "", now))
        new = lines_since(account_id, account.sequence)
    return Preview(new, weight, account.sequence)


def request_adjustment(
    *,
    form_id: UUID,
    account_id: int,
    kind: str,
    terms: Terms,
    reason_code: str,
    reason: str,
    user_id: int,
    limit: int,
    sequence: int,
    now: datetime,
) -> Adjustment:
    """Posts the adjustment, or leaves it waiting for a second person.

    It is posted at once if it and all that this person posted alone within a day count for at most
    `limit` credits, and it is not the person's own account. `sequence` is the preview's: it must
    still describe the account. The same `form_id` again returns the first result.

    Raises BooksChanged, and what preview_adjustment raises; then nothing is kept.
    """
    with transaction.atomic():
        user = _locked_user(user_id)  # one after the other: two at once count against one limit
        if first := Adjustment.objects.filter(pk=form_id).first():
            if (first.account_id, first.kind, first.terms) != (account_id, kind, terms):
                raise IdempotencyConflict(str(form_id))
            return first
        _check_unchanged(account_id, sequence)
        weight = _weigh(account_id, kind, terms)
        alone = weight + _posted_alone(user_id, now) <= limit and not _owns(user_id, account_id)
        adjustment = Adjustment(
            id=form_id,
            account_id=account_id,
            kind=kind,
            terms=terms,
            weight=weight,
            reason_code=reason_code,
            reason=reason,
            state=State.POSTED if alone else State.WAITING,
            requested_by_id=user_id,
            requested_at=now,
            decided_at=now if alone else None,
        )
        adjustment.save(force_insert=True)
        if alone:
            _post(adjustment, _actor(user), now)
        else:
            preview_adjustment(account_id=account_id, kind=kind, terms=terms, now=now)
        _log(adjustment, f"adjustment.{adjustment.state}", _actor(user), reason, now)
    return adjustment


def approve_adjustment(
    *, adjustment_id: UUID, user_id: int, sequence: int, now: datetime
) -> Adjustment:
    """The second person agrees: it is posted now.

    Raises OwnAdjustment, AdjustmentSettled, BooksChanged, and what preview_adjustment raises.
    """
    with transaction.atomic():
        adjustment, user = _to_be_decided(adjustment_id, user_id, now)
        if adjustment.requested_by_id == user_id:
            raise OwnAdjustment("Somebody else has to approve this: you asked for it.")
        if _owns(user_id, adjustment.account_id):
            raise OwnAdjustment("Somebody else has to approve this: it is your own account.")
        _check_unchanged(adjustment.account_id, sequence)
        _settle(adjustment, State.POSTED, user_id, now)
        _post(adjustment, _actor(adjustment.requested_by), now)
        _log(adjustment, "adjustment.approve", _actor(user), adjustment.reason, now)
    return adjustment


def refuse_adjustment(
    *, adjustment_id: UUID, user_id: int, reason: str, now: datetime
) -> Adjustment:
    """It is not posted. Who asked for it may take it back this way. Raises AdjustmentSettled."""
    with transaction.atomic():
        adjustment, user = _to_be_decided(adjustment_id, user_id, now)
        _settle(adjustment, State.REFUSED, user_id, now)
        _log(adjustment, "adjustment.refuse", _actor(user), reason, now)
    return adjustment


def has_lapsed(adjustment: Adjustment, *, now: datetime) -> bool:
    """Whether its time is over, also before lapse_adjustments has written so."""
    is_old = adjustment.requested_at <= now - LIFE
    return adjustment.state == State.LAPSED or (adjustment.state == State.WAITING and is_old)


def lapse_adjustments(*, now: datetime) -> int:
    """Ends requests that nobody has decided within LIFE; returns how many."""
    old = Adjustment.objects.filter(state=State.WAITING, requested_at__lte=now - LIFE)
    lapsed = 0
    with transaction.atomic():
        for adjustment in old.select_for_update():
            adjustment.state, adjustment.decided_at = State.LAPSED, now
            adjustment.save(update_fields=["state", "decided_at"])
            _log(adjustment, "adjustment.lapse", "system", "Nobody decided it within 7 days.", now)
            lapsed += 1
    return lapsed


# Posting ------------------------------------------------------------------------------------------


def _post(adjustment: Adjustment, actor: str, now: datetime) -> None:
    """The customer reads the note; the code of the reason is for staff, in the audit log."""
    posting = Posting(str(adjustment.pk), actor, adjustment.reason, now)
    _apply(adjustment.account_id, adjustment.kind, adjustment.terms, posting)


def _apply(account_id: int, kind: str, terms: Terms, posting: Posting) -> None:
    APPLY[Kind(kind)](account_id, terms, posting)


def _grant(account_id: int, terms: Terms, posting: Posting) -> None:
    _adjust(account_id, terms, posting, Direction.ADD)


def _remove(account_id: int, terms: Terms, posting: Posting) -> None:
    _adjust(account_id, terms, posting, Direction.REMOVE)


def _move(account_id: int, terms: Terms, posting: Posting) -> None:
    if terms["pool"] == terms["to_pool"]:
        raise InvalidAdjustment("The credits are in that pool already.")
    _adjust(account_id, {**terms, "expires_at": None}, posting, Direction.REMOVE, ":out")
    _adjust(account_id, {**terms, "pool": terms["to_pool"]}, posting, Direction.ADD, ":in")


def _adjust(
    account_id: int, terms: Terms, posting: Posting, direction: Direction, suffix: str = ""
) -> None:
    pool, expires_at = Pool(terms["pool"]), _moment(terms)
    if direction is Direction.ADD and (pool == Pool.BULK) != (expires_at is None):
        raise InvalidAdjustment("Bulk credits never end; all others need the day when they do.")
    if expires_at is not None and expires_at <= posting.now:
        raise InvalidAdjustment("They would have ended already: give a later day.")
    adjust(
        account_id=account_id,
        pool=pool,
        amount=terms["amount"],
        direction=direction,
        idempotency_key=f"{posting.key}{suffix}",
        actor=posting.actor,
        note=posting.note,
        expires_at=expires_at,
        now=posting.now,
    )


def _extend(account_id: int, terms: Terms, posting: Posting) -> None:
    lot = _lot(account_id, terms)
    expires_at = _moment(terms)
    if expires_at is None:
        raise InvalidAdjustment("Until when?")
    extend_lot(source_key=lot.source_key, expires_at=expires_at, now=posting.now)


def _give_back(account_id: int, terms: Terms, posting: Posting) -> None:
    hold = _hold(account_id, terms)
    if hold.reference.startswith("adjustment:"):
        raise InvalidAdjustment("Staff removed these, for no work: add credits instead.")
    if not hold.captured:
        raise InvalidAdjustment("This generation has cost nothing, or was given back already.")
    refund_spend(hold_id=hold.pk, actor=posting.actor, note=posting.note, now=posting.now)


def _issue_token(account_id: int, terms: Terms, posting: Posting) -> None:
    issue_retail_token(
        account_id=account_id,
        source_key=f"adjustment:{posting.key}",
        terms={"note": posting.note},
        now=posting.now,
    )


def _revoke_token(account_id: int, terms: Terms, posting: Posting) -> None:
    token = RetailToken.objects.filter(account_id=account_id, pk=terms["token"]).first()
    if token is None:
        raise InvalidAdjustment("The account has no such single generation.")
    revoke_retail_token(source_key=token.source_key, now=posting.now)


APPLY: dict[Adjustment.Kind, Callable[[int, Terms, Posting], None]] = {
    Kind.GRANT: _grant,
    Kind.REMOVE: _remove,
    Kind.MOVE: _move,
    Kind.EXTEND: _extend,
    Kind.GIVE_BACK: _give_back,
    Kind.ISSUE_TOKEN: _issue_token,
    Kind.REVOKE_TOKEN: _revoke_token,
}


# Deciding -----------------------------------------------------------------------------------------


def _weigh(account_id: int, kind: str, terms: Terms) -> int:
    """Credits that an adjustment counts for; a single generation counts for one."""
    if kind == Kind.EXTEND:
        return _lot(account_id, terms).remaining
    if kind == Kind.GIVE_BACK:
        return _hold(account_id, terms).captured
    return int(terms.get("amount", 1))


def _posted_alone(user_id: int, now: datetime) -> int:
    alone = Adjustment.objects.filter(
        requested_by_id=user_id,
        requested_at__gt=now - LIMIT_PERIOD,
        state=State.POSTED,
        decided_by=None,
    )
    return alone.aggregate(sum=Sum("weight"))["sum"] or 0


def _owns(user_id: int, account_id: int) -> bool:
    return Account.objects.filter(pk=account_id, user_id=user_id).exists()


def _to_be_decided(adjustment_id: UUID, user_id: int, now: datetime) -> tuple[Adjustment, Any]:
    adjustment = Adjustment.objects.select_for_update().get(pk=adjustment_id)
    if adjustment.state != State.WAITING:
        raise AdjustmentSettled("This is not waiting any more.")
    if has_lapsed(adjustment, now=now):
        raise AdjustmentSettled("It has lapsed, because nobody decided it within 7 days.")
    return adjustment, get_user_model().objects.get(pk=user_id)


def _settle(adjustment: Adjustment, state: State, user_id: int, now: datetime) -> None:
    adjustment.state, adjustment.decided_by_id, adjustment.decided_at = state, user_id, now
    adjustment.save(update_fields=["state", "decided_by", "decided_at"])


def _check_unchanged(account_id: int, sequence: int) -> None:
    """Raises BooksChanged unless the account, now locked, is as the preview saw it."""
    if Account.objects.locked().get(pk=account_id).sequence != sequence:
        raise BooksChanged("The account has changed meanwhile: please look again.")


def _locked_user(user_id: int) -> Any:
    no_key = connection.features.has_select_for_no_key_update
    return get_user_model().objects.select_for_update(no_key=no_key).get(pk=user_id)


def _log(adjustment: Adjustment, action: str, actor: str, reason: str, now: datetime) -> None:
    record_action(
        actor=actor,
        action=action,
        account_id=adjustment.account_id,
        target=f"adjustment:{adjustment.pk}",
        reason_code=adjustment.reason_code,
        reason=reason,
        after={"kind": adjustment.kind, **adjustment.terms},
        now=now,
    )


def _actor(user: Any) -> str:
    return f"staff:{user.get_username()}"


def _lot(account_id: int, terms: Terms) -> CreditLot:
    lot = CreditLot.objects.filter(account_id=account_id, pk=terms["lot"]).first()
    if lot is None:
        raise InvalidAdjustment("The account has no such lot.")
    return lot


def _hold(account_id: int, terms: Terms) -> Hold:
    hold = Hold.objects.filter(account_id=account_id, pk=terms["hold"]).first()
    if hold is None:
        raise InvalidAdjustment("The account has paid for no such thing.")
    return hold


def _moment(terms: Terms) -> datetime | None:
    text = terms.get("expires_at")
    return parse_datetime(text) if text else None
