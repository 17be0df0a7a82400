"""What the site tells about an account: now, at any moment, line by line, lot by lot."""

from datetime import timedelta

import pytest

from credits import queries, services
from credits.models import Account, CreditLot, Offer, Pool

pytestmark = pytest.mark.django_db


def at(customer, moment):
    return queries.balance_at(account_id=customer.account_id, moment=moment)


def pools_at(customer, moment):
    return tuple(at(customer, moment).pools.values())


class TestBalance:
    def test_of_a_new_account_is_nothing(self, customer):
        assert customer.balance == queries.Balance(
            pools={"subscription": 0, "promotional": 0, "bulk": 0},
            retail_tokens=0,
            owed=0,
            held=0,
            next_expiry=None,
        )

    def test_says_what_is_available_held_and_owed(self, customer):
        lost = customer.grant(5)
        customer.spend(5)
        customer.grant(20)
        customer.claw_back(lost, 5)
        customer.hold(4)

        balance = customer.balance

        assert (balance.available, balance.held, balance.owed) == (16, 4, 5)

    def test_counts_free_retail_tokens_only(self, customer):
        customer.buy_token()
        customer.buy_token()
        customer.reserve("generation:1")

        assert customer.balance.retail_tokens == 1

    def test_does_not_count_a_lot_that_has_ended_but_is_not_written_off(self, customer):
        customer.gift(5, days=1)
        customer.grant(3)
        customer.wait(days=1)

        assert customer.pools == (0, 0, 3)
        assert Account.objects.get().promotional_credits == 5

    def test_of_an_unknown_account_is_an_error(self, customer):
        with pytest.raises(Account.DoesNotExist):
            queries.balance(account_id=customer.account_id + 1, now=customer.now)


class TestNextExpiry:
    def test_is_what_ends_first(self, customer):
        customer.gift(5, days=9)
        customer.gift(3, days=4)

        assert customer.balance.next_expiry == queries.Expiry(3, customer.in_days(4))

    def test_adds_up_what_ends_together(self, customer):
        customer.gift(5, days=4)
        customer.gift(3, days=4)

        assert customer.balance.next_expiry == queries.Expiry(8, customer.in_days(4))

    def test_leaves_out_what_is_spent_frozen_or_over(self, customer):
        customer.gift(1, days=1)
        customer.wait(days=1)
        customer.gift(2, days=2)
        customer.spend(2)
        customer.freeze(customer.gift(3, days=3))
        customer.gift(4, days=4)

        assert customer.balance.next_expiry == queries.Expiry(4, customer.in_days(4))

    def test_is_none_for_credits_that_never_end(self, customer):
        customer.grant(5)

        assert customer.balance.next_expiry is None


class TestBalanceAt:
    def test_before_the_first_line_is_nothing(self, customer):
        customer.grant(5)

        assert at(customer, customer.now - timedelta(microseconds=1)).available == 0

    def test_includes_the_line_of_that_very_moment(self, customer):
        customer.grant(5)

        assert at(customer, customer.now).available == 5

    def test_equals_what_balance_said_at_each_moment(self, customer):
        """A month of everything: each day's balance, asked afterwards, is what it was."""
        said = []

        def end_of_day():
            said.append((customer.now, customer.pools, customer.owed, customer.balance.held))
            customer.wait(days=1)

        month = customer.renew(100, days=20)
        end_of_day()
        customer.gift(10, days=2)
        pack = customer.grant(50)
        end_of_day()
        held = customer.hold(105)
        end_of_day()
        end_of_day()  # the gift has ended, nobody has written that yet
        customer.capture(held, 60)
        end_of_day()
        customer.freeze(pack)
        customer.spend(12)
        end_of_day()
        customer.claw_back(pack, 50)
        end_of_day()
        customer.renew(80, days=5, rollover_cap=15)
        end_of_day()
        customer.refund(held)
        customer.claw_back(month, 100)
        end_of_day()
        customer.wait(days=10)  # the period is over
        end_of_day()
        services.expire_due(now=customer.now)
        end_of_day()
        customer.grant(500)

        assert [
            (
                moment,
                pools_at(customer, moment),
                at(customer, moment).owed,
                at(customer, moment).held,
            )
            for moment, *_rest in said
        ] == said

    def test_leaves_out_a_lot_that_had_ended_though_it_was_written_off_later(self, customer):
        customer.gift(5, days=1)
        customer.wait(days=2)
        between = customer.now
        assert customer.pools == (0, 0, 0)
        customer.wait(days=1)
        services.expire_due(now=customer.now)

        assert pools_at(customer, between) == (0, 0, 0)

    def test_counts_tokens_from_issue_to_use(self, customer):
        bought = customer.now
        customer.buy_token()
        customer.wait(days=1)
        customer.reserve("generation:1")
        customer.use("generation:1")

        assert at(customer, bought - timedelta(days=1)).retail_tokens == 0
        assert at(customer, bought).retail_tokens == 1
        assert at(customer, customer.now).retail_tokens == 0


class TestHistory:
    def test_is_the_accounts_lines_newest_first(self, customer, new_customer):
        new_customer().grant(1)
        customer.grant(5)
        customer.spend(2)

        lines = queries.history(account_id=customer.account_id)

        assert [(line.sequence, line.amount) for line in lines] == [(2, -2), (1, 5)]

    def test_follows_the_sequence_also_when_a_clock_was_wrong(self, customer):
        customer.grant(5)
        customer.wait(minutes=-10)
        customer.spend(2)

        lines = queries.history(account_id=customer.account_id)

        assert [line.amount for line in lines] == [-2, 5]


class TestExplain:
    def story(self, customer, lot):
        stories = queries.explain(account_id=customer.account_id)
        return next(story for story in stories if story.lot == lot)

    def test_tells_what_became_of_every_credit_of_a_lot(self, customer):
        month = customer.renew(100)
        customer.spend(30)
        customer.claw_back(month, 20)
        customer.renew(100, rollover_cap=15)

        story = self.story(customer, month)

        assert (story.used, story.clawed_back, story.carried_over, story.expired) == (
            30, 20, 15, 35,
        )  # fmt: skip

    def test_tells_what_is_left_and_set_aside(self, customer):
        pack = customer.grant(100)
        customer.spend(30)
        customer.freeze(pack)

        story = self.story(customer, pack)

        assert (story.remaining, story.frozen, story.used) == (0, 70, 30)

    def test_adds_up_for_every_lot(self, customer):
        pack = customer.grant(50)
        customer.renew(100)
        held = customer.hold(120)
        customer.renew(100, rollover_cap=5)
        customer.claw_back(pack, 40)
        customer.release(held)
        customer.freeze(pack)

        for story in queries.explain(account_id=customer.account_id):
            assert story.granted == (
                story.remaining + story.frozen + story.used
                + story.expired + story.carried_over + story.clawed_back
            )  # fmt: skip

    def test_lists_every_lot_newest_first(self, customer):
        customer.renew(100)
        customer.renew(100, rollover_cap=5)
        customer.grant(5, Pool.PROMOTIONAL)

        lots = [story.lot.pk for story in queries.explain(account_id=customer.account_id)]

        assert lots == list(CreditLot.objects.order_by("-pk").values_list("pk", flat=True))


class TestOffers:
    def test_lists_what_is_for_sale_in_order(self, db):
        for slug, order, active in (
            ("b", 1, True),
            ("a", 1, True),
            ("z", 0, True),
            ("x", 0, False),
        ):
            Offer.objects.create(
                slug=slug, name=slug, kind="pack", credits=1, amount=1, currency="usd",
                order=order, active=active,
            )  # fmt: skip

        assert [offer.slug for offer in queries.offers()] == ["z", "a", "b"]
