"""Credits end by themselves: written off when the account is next touched, or by the sweep."""

import pytest

from credits import services
from credits.models import LedgerEntry
from credits.services import holds
from credits.tests.conftest import left

pytestmark = pytest.mark.django_db


def sweep(customer):
    return services.expire_due(now=customer.now)


class TestLazyExpiry:
    def test_is_written_by_the_next_change(self, customer):
        customer.gift(5, days=1)
        customer.wait(days=1)

        customer.grant(10)

        assert customer.lines() == ["grant 5", "expire -5", "grant 10"]

    def test_is_not_written_when_the_change_is_refused(self, customer):
        gift = customer.gift(5, days=1)
        customer.wait(days=1)

        with pytest.raises(services.InsufficientCredits) as refusal:
            customer.spend(1)

        assert (refusal.value.available, left(gift)) == (0, 5)

    def test_happens_at_the_moment_itself_not_before(self, customer):
        customer.gift(5, days=1)
        customer.wait(days=1, microseconds=-1)
        assert customer.spend(1).captured == 1

        customer.wait(microseconds=1)

        with pytest.raises(services.InsufficientCredits):
            customer.spend(1)

    def test_takes_what_is_left_only(self, customer):
        customer.gift(5, days=1)
        customer.spend(3)
        customer.wait(days=1)

        sweep(customer)

        assert customer.lines()[-1] == "expire -2"


class TestExpireDue:
    def test_writes_off_what_has_ended_on_every_account(self, customer, new_customer):
        other = new_customer()
        customer.gift(5, days=1)
        customer.gift(6, days=1)
        other.gift(7, days=1)
        other.gift(8, days=3)
        customer.wait(days=2)

        swept = sweep(customer)

        assert (swept.accounts, swept.credits, swept.holds) == (2, 18, 0)
        assert (customer.pools, other.pools) == ((0, 0, 0), (0, 8, 0))

    def test_again_finds_nothing(self, customer):
        customer.gift(5, days=1)
        customer.wait(days=1)
        sweep(customer)

        again = sweep(customer)

        assert (again.accounts, again.credits, again.holds) == (0, 0, 0)
        assert LedgerEntry.objects.filter(kind="expire").count() == 1

    def test_leaves_frozen_credits_to_the_dispute(self, customer):
        gift = customer.gift(5, days=1)
        lot = customer.freeze(gift)
        customer.wait(days=1)

        assert sweep(customer).credits == 0
        lot.refresh_from_db()
        assert lot.frozen == 5

    def test_releases_holds_past_their_deadline(self, customer):
        customer.grant(10)
        held = customer.hold(4, deadline=customer.in_days(1))
        customer.wait(days=1)

        assert sweep(customer).holds == 1
        held.refresh_from_db()
        assert (held.state, customer.pools) == ("released", (0, 0, 10))

    def test_leaves_holds_that_still_have_time_or_no_deadline(self, customer):
        customer.grant(10)
        customer.hold(4, deadline=customer.in_days(2))
        customer.hold(4)
        customer.wait(days=1)

        assert (sweep(customer).holds, customer.balance.held) == (0, 8)

    def test_leaves_captured_holds_alone(self, customer):
        customer.grant(10)
        customer.capture(customer.hold(4, deadline=customer.in_days(1)))
        customer.wait(days=2)

        assert (sweep(customer).holds, customer.pools) == (0, (0, 0, 6))

    def test_counts_a_late_release_as_our_failure(self, customer):
        customer.gift(5, days=1)
        customer.hold(5, deadline=customer.in_days(2))
        customer.wait(days=3)

        sweep(customer)

        assert customer.pools == (0, 5, 0)

    def test_reaches_frozen_accounts(self, customer):
        customer.gift(5, days=1)
        services.freeze_account(account_id=customer.account_id, now=customer.now)
        customer.wait(days=1)

        assert sweep(customer).credits == 5


class TestABacklog:
    def test_is_not_held_up_by_an_account_that_fails(self, customer, new_customer, monkeypatch):
        other = new_customer()
        for owner in (customer, other):
            owner.gift(5, days=1)
            owner.hold(1, deadline=owner.in_days(1))
        customer.wait(days=1)
        locked = holds.locked

        def fail_for_customer(account_id, *, now):
            if account_id == customer.account_id:
                raise AssertionError("a broken account")
            return locked(account_id, now=now)

        monkeypatch.setattr(holds, "locked", fail_for_customer)
        assert sweep(customer) == holds.Swept(accounts=1, credits=4, holds=1, failed=2)

    def test_is_worked_off_in_rounds(self, customer):
        for days in (1, 2, 3):
            customer.gift(5, days=days)
        customer.grant(5)
        customer.wait(days=3)

        first = services.expire_due(now=customer.now, limit=1)
        assert first.accounts == 1
        assert services.expire_due(now=customer.now, limit=1).accounts == 0  # one write ends all
        assert customer.pools == (0, 0, 5)
