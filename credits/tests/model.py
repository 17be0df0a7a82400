"""The rules of the money once more, in plain Python: what test_machine.py compares with.

Nothing here is taken from the code: lots end by themselves as the clock moves, and a hold remembers
which credits it has.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from credits.services import (
    AccountFrozen,
    HoldAlreadySettled,
    InsufficientCredits,
    InvalidAmount,
    RetailTokenUnavailable,
)

BURN_ORDER = ["subscription", "promotional", "bulk"]
GRACE = timedelta(days=3)
GOODWILL = timedelta(days=30)
NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass
class Lot:
    key: str
    pool: str
    granted: int
    ends: datetime
    remaining: int
    frozen: int = 0
    disputed: bool = False
    demanded: int = 0
    owed: int = 0
    taken_back: int = 0
    expired: int = 0
    repaid: int = 0

    @property
    def elsewhere(self) -> int:
        """Held, spent, carried over, or used to pay a debt."""
        return self.granted - self.remaining - self.frozen - self.taken_back - self.expired


@dataclass
class Hold:
    amount: int
    deadline: datetime
    credits: list[tuple[Lot, int]]
    state: str = "open"
    captured: int = 0
    kept: int = 0
    pk: int = 0


@dataclass
class Model:
    now: datetime
    lots: list[Lot] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    tokens: list[list[str]] = field(default_factory=list)  # state, reference, key
    owed: int = 0
    active: bool = True

    @property
    def pools(self) -> dict[str, int]:
        return {
            pool: sum(lot.remaining for lot in self.lots if lot.pool == pool) for pool in BURN_ORDER
        }

    @property
    def held(self) -> int:
        return sum(hold.amount for hold in self.holds if hold.state == "open")

    def move_clock(self, now: datetime) -> None:
        self.now = now
        for lot in self.lots:
            if lot.ends <= now:
                lot.expired, lot.remaining = lot.expired + lot.remaining, 0

    # Credits in

    def grant(self, key: str, pool: str, amount: int, ends: datetime = NEVER) -> Lot:
        lot = self._add(key, pool, amount, ends)
        payment = min(self.owed, amount)
        self.owed -= payment
        lot.remaining -= payment
        lot.repaid += payment
        return lot

    def renew(self, key: str, amount: int, period_end: datetime, cap: int) -> None:
        carried = 0
        old = [lot for lot in self.lots if lot.pool == "subscription"]
        old.sort(key=lambda lot: lot.ends)
        for lot in old[::-1]:
            carry = min(lot.remaining, cap - carried)
            carried += carry
            lot.expired += lot.remaining - carry
            lot.remaining = 0
            lot.ends = min(lot.ends, self.now)
        self.grant(key, "subscription", amount, period_end + GRACE)
        if carried:
            self._add(f"rollover:{key}", "subscription", carried, period_end + GRACE)

    def _add(self, key: str, pool: str, amount: int, ends: datetime) -> Lot:
        self.lots.append(Lot(key, pool, amount, ends, remaining=amount))
        return self.lots[-1]

    # Credits out

    def hold(self, amount: int, deadline: datetime = NEVER) -> Hold:
        if not self.active:
            raise AccountFrozen
        return self._take(amount, deadline, BURN_ORDER)

    def spend(self, amount: int) -> None:
        self.capture(self.hold(amount), amount)

    def _take(self, amount: int, deadline: datetime, pools: list[str]) -> Hold:
        lots = [lot for lot in self.lots if lot.remaining and lot.pool in pools]
        lots.sort(key=lambda lot: (BURN_ORDER.index(lot.pool), lot.ends))
        available = sum(lot.remaining for lot in lots)
        if available < amount:
            raise InsufficientCredits(required=amount, available=available)
        hold = Hold(amount, deadline, [])
        for lot in lots:
            taken = min(amount, lot.remaining)
            if taken:
                hold.credits.append((lot, taken))
            lot.remaining -= taken
            amount -= taken
        self.holds.append(hold)
        return hold

    def capture(self, hold: Hold, amount: int) -> None:
        if amount > hold.amount:
            raise InvalidAmount
        if hold.state == "captured" and hold.kept == amount:
            return
        self._must_be_open(hold)
        self._give_back(hold, hold.amount - amount, lapse=False)
        hold.state, hold.captured, hold.kept = "captured", amount, amount

    def release(self, hold: Hold, *, by_customer: bool) -> None:
        if hold.state == "released":
            return
        self._must_be_open(hold)
        self._give_back(hold, hold.amount, lapse=by_customer)
        hold.state = "released"

    def refund(self, hold: Hold) -> None:
        if hold.state != "captured":
            raise HoldAlreadySettled(hold)
        self._give_back(hold, hold.captured, lapse=False)
        hold.captured = 0

    def sweep(self) -> None:
        for hold in sorted(self.holds, key=lambda hold: hold.deadline):
            if hold.state == "open" and hold.deadline <= self.now:
                self.release(hold, by_customer=False)

    def _must_be_open(self, hold: Hold) -> None:
        if hold.state != "open":
            raise HoldAlreadySettled(hold)

    def _give_back(self, hold: Hold, amount: int, *, lapse: bool) -> None:
        while amount:
            lot, taken = hold.credits.pop()
            portion = min(amount, taken)
            amount -= portion
            if taken > portion:
                hold.credits.append((lot, taken - portion))
            self._return(lot, portion, lapse=lapse)

    def _return(self, lot: Lot, amount: int, *, lapse: bool) -> None:
        demanded = min(amount, lot.owed, self.owed)
        self.owed -= demanded
        lot.owed -= demanded
        lot.taken_back += demanded
        amount -= demanded
        if lot.disputed:
            lot.frozen += amount
        elif amount and lot.ends <= self.now and not lapse:
            self._extend(lot, amount)
        elif lot.ends <= self.now:
            lot.expired += amount
        else:
            lot.remaining += amount

    def _extend(self, lot: Lot, amount: int) -> None:
        """Our failure kept them from being used: they live on."""
        periods = [each.ends for each in self.lots if each.pool == "subscription"]
        current = max((end for end in periods if self.now < end < NEVER), default=None)
        if lot.pool == "subscription" and current:
            self._add("return", "subscription", amount, current)
        else:
            self._add("return", "promotional", amount, self.now + GOODWILL)

    # Corrections

    def claw_back(self, lot: Lot, total: int) -> None:
        if total <= lot.demanded:
            return
        here = lot.remaining + lot.frozen
        taken = min(here, total - lot.demanded)
        lot.remaining, lot.frozen = (0, here - taken) if lot.disputed else (here - taken, 0)
        lot.taken_back += taken
        owed = max(0, min(total - lot.taken_back, lot.elsewhere) - lot.owed)
        lot.demanded = total
        lot.owed += owed
        self.owed += owed
        forgiven = lot.demanded - lot.taken_back - lot.owed
        assert 0 <= forgiven <= lot.expired, (
            "only what has ended is forgiven, nothing is taken twice"
        )

    def reverse(self, lot: Lot, total: int) -> None:
        """In the opposite order: forgiven, owed, taken."""
        undone = max(0, lot.demanded - total)
        lot.demanded -= undone
        undone -= min(undone, lot.demanded + undone - lot.taken_back - lot.owed)
        not_owed = min(undone, lot.owed)
        lot.owed -= not_owed
        lot.taken_back -= undone - not_owed
        self._bring_back(lot, undone - not_owed)
        had_been_paid = max(0, not_owed - self.owed)
        self.owed -= not_owed - had_been_paid
        for payer in self.lots[::-1]:
            portion = min(had_been_paid, payer.repaid)
            payer.repaid -= portion
            had_been_paid -= portion
            self._bring_back(payer, portion)
        assert not had_been_paid

    def _bring_back(self, lot: Lot, amount: int) -> None:
        if lot.disputed:
            lot.frozen += amount
        elif lot.ends > self.now:
            lot.remaining += amount
        elif amount:
            self._extend(lot, amount)

    def freeze(self, lot: Lot) -> None:
        lot.disputed = True
        lot.frozen, lot.remaining = lot.frozen + lot.remaining, 0

    def unfreeze(self, lot: Lot) -> None:
        lot.disputed = False
        if lot.ends <= self.now:
            lot.expired += lot.frozen
        else:
            lot.remaining += lot.frozen
        lot.frozen = 0

    def remove(self, pool: str, amount: int) -> None:
        hold = self._take(amount, NEVER, [pool])
        hold.state, hold.captured, hold.kept = "captured", amount, amount

    # Retail tokens

    def reserve(self, reference: str) -> None:
        if not self.active:
            raise AccountFrozen
        self._move(self._token("available"), "reserved", reference)

    def use(self, reference: str) -> None:
        token = self._token_of(reference)
        if token[0] != "used":
            self._move(token, "used", reference)

    def give_token_back(self, reference: str) -> None:
        token = self._token_of(reference)
        if token[0] == "used":
            raise RetailTokenUnavailable
        self._move(token, "available", "")

    def revoke(self, token: list[str]) -> None:
        if token[0] not in {"available", "revoked"}:
            raise RetailTokenUnavailable
        token[0] = "revoked"

    def restore(self, token: list[str]) -> None:
        if token[0] == "revoked":
            token[0] = "available"

    def _move(self, token: list[str], state: str, reference: str) -> None:
        token[:2] = [state, reference]

    def _token(self, state: str) -> list[str]:
        for token in self.tokens:
            if token[0] == state:
                return token
        raise RetailTokenUnavailable

    def _token_of(self, reference: str) -> list[str]:
        for token in self.tokens:
            if token[1] == reference:
                return token
        raise RetailTokenUnavailable
