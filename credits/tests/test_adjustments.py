"""Adjustments by staff: a preview that holds, a limit for one person, and a second one above it."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.db import IntegrityError, connection, transaction

from credits import services
from credits.explanations import explain
from credits.models import (
    Account,
    Adjustment,
    CreditLot,
    Hold,
    LedgerEntry,
    RetailToken,
    StaffAction,
)
from credits.services import adjustments
from credits.tests.race import kinds, meet_before, race

pytestmark = pytest.mark.django_db
Kind, State = Adjustment.Kind, Adjustment.State


@pytest.fixture
def ann(db):
    return get_user_model().objects.create_user("ann@example.com", is_staff=True)


@pytest.fixture
def bob(db):
    return get_user_model().objects.create_user("bob@example.com", is_staff=True)


@pytest.fixture
def ask(customer, ann):
    """Ann asks for an adjustment, with a limit of 100 credits a day."""

    def ask(kind: str, **more) -> Adjustment:
        given = {
            "form_id": uuid4(), "reason_code": "goodwill", "reason": "a bad day",
            "user_id": ann.pk, "limit": 100, "now": customer.now,
        }  # fmt: skip
        given |= {name: more.pop(name) for name in list(more) if name in given}
        sequence = Account.objects.get(pk=customer.account_id).sequence
        return services.request_adjustment(
            account_id=customer.account_id, kind=kind, terms=more, sequence=sequence, **given
        )

    return ask


@pytest.fixture
def decide(customer, bob):
    def decide(adjustment: Adjustment, **more) -> Adjustment:
        account = Account.objects.get(pk=customer.account_id)
        given = {"user_id": bob.pk, "sequence": account.sequence, "now": customer.now, **more}
        return services.approve_adjustment(adjustment_id=adjustment.pk, **given)

    return decide


def in_days(customer, days: int) -> str:
    return customer.in_days(days).isoformat()


class TestEachKind:
    def test_adds_credits(self, customer, ask):
        ask(Kind.GRANT, pool="promotional", amount=7, expires_at=in_days(customer, 3))

        assert customer.pools == (0, 7, 0)
        customer.wait(days=3)
        assert customer.available == 0

    def test_removes_credits_of_one_pool(self, customer, ask):
        customer.grant(10)
        customer.gift(10, days=5)

        ask(Kind.REMOVE, pool="bulk", amount=4)

        assert customer.pools == (0, 10, 6)

    def test_moves_credits_to_another_pool(self, customer, ask):
        customer.gift(10, days=5)

        ask(Kind.MOVE, pool="promotional", to_pool="bulk", amount=6)

        assert customer.pools == (0, 4, 6)
        assert [line for line in customer.lines() if "adjust" in line] == ["adjust -6", "adjust 6"]
        assert [str(explain(line)) for line in LedgerEntry.objects.order_by("sequence")[1:]] == [
            "Moved to another pool by staff: a bad day",
            "Moved from another pool by staff: a bad day",
        ]

    def test_does_not_give_back_what_staff_removed(self, customer, ask):
        """A move takes from one pool: giving that back would make credits of nothing."""
        customer.gift(10, days=5)
        ask(Kind.MOVE, pool="promotional", to_pool="bulk", amount=6)

        with pytest.raises(services.InvalidAdjustment, match="for no work"):
            ask(Kind.GIVE_BACK, hold=Hold.objects.get().pk)
        assert customer.available == 10

    def test_lets_credits_live_longer(self, customer, ask):
        lot = customer.gift(10, days=5)

        ask(Kind.EXTEND, lot=lot.pk, expires_at=in_days(customer, 9))

        customer.wait(days=8)
        assert customer.available == 10
        customer.wait(days=1)
        assert customer.available == 0

    def test_gives_back_what_a_generation_cost(self, customer, ask):
        customer.grant(10)
        hold = customer.spend(3)

        ask(Kind.GIVE_BACK, hold=hold.pk)

        assert customer.available == 10
        with pytest.raises(services.InvalidAdjustment):
            ask(Kind.GIVE_BACK, hold=hold.pk)

    def test_gives_and_takes_single_generations(self, customer, ask):
        ask(Kind.ISSUE_TOKEN)
        token = RetailToken.objects.get()
        assert token.state == "available"

        ask(Kind.REVOKE_TOKEN, token=token.pk)

        token.refresh_from_db()
        assert token.state == "revoked"

    def test_keeps_who_and_why_in_the_books_and_in_the_audit_log(self, customer, ask):
        adjustment = ask(Kind.GRANT, pool="bulk", amount=7)

        line = LedgerEntry.objects.get()
        assert (line.reference, line.actor, line.note) == (
            f"adjustment:{adjustment.pk}",
            "staff:ann@example.com",
            "a bad day",
        )
        action = StaffAction.objects.get()
        assert (action.actor, action.action, action.account_id) == (
            "staff:ann@example.com", "adjustment.posted", customer.account_id,
        )  # fmt: skip


class TestWhatMakesNoSense:
    def everything_is_refused(self, ask, error, kind, **terms):
        with pytest.raises(error):
            ask(kind, **terms)
        assert not Adjustment.objects.exists()
        assert not StaffAction.objects.exists()

    def test_removing_more_than_there_is(self, customer, ask):
        customer.grant(3)

        self.everything_is_refused(
            ask, services.InsufficientCredits, Kind.REMOVE, pool="bulk", amount=4
        )

    def test_removing_more_than_there_is_above_the_limit(self, customer, ask):
        self.everything_is_refused(
            ask, services.InsufficientCredits, Kind.REMOVE, pool="bulk", amount=400
        )

    @pytest.mark.parametrize(
        ("kind", "terms"),
        [
            (Kind.GRANT, {"pool": "promotional", "amount": 3}),
            (Kind.GRANT, {"pool": "bulk", "amount": 3, "expires_at": "2030-01-01T00:00:00+00:00"}),
            (Kind.GRANT, {"pool": "bulk", "amount": 0}),
            (Kind.GRANT, {"pool": "bulk", "amount": 2**40}),
            (Kind.MOVE, {"pool": "bulk", "to_pool": "bulk", "amount": 3}),
            (Kind.EXTEND, {"lot": 1, "expires_at": "2030-01-01T00:00:00+00:00"}),
            (Kind.GIVE_BACK, {"hold": 1}),
            (Kind.REVOKE_TOKEN, {"token": 1}),
        ],
    )
    def test_terms_that_do_not_fit(self, ask, kind, terms):
        self.everything_is_refused(ask, services.CreditsError, kind, **terms)

    def test_what_belongs_to_somebody_else(self, new_customer, ask):
        other = new_customer()
        other.grant(5)
        hold, lot, token = other.spend(2), other.gift(5, days=2), other.buy_token()

        for kind, terms in [
            (Kind.GIVE_BACK, {"hold": hold.pk}),
            (Kind.EXTEND, {"lot": lot.pk, "expires_at": in_days(other, 9)}),
            (Kind.REVOKE_TOKEN, {"token": token.pk}),
        ]:
            self.everything_is_refused(ask, services.InvalidAdjustment, kind, **terms)

    def test_shortening_a_life_or_waking_the_dead(self, customer, ask):
        lot = customer.gift(5, days=5)
        for days, wait in ((4, 0), (9, 6)):
            customer.wait(days=wait)
            self.everything_is_refused(
                ask, services.InvalidAdjustment, Kind.EXTEND, lot=lot.pk,
                expires_at=in_days(customer, days - wait),
            )  # fmt: skip


class TestThePreview:
    def test_is_what_happens_and_leaves_no_trace(self, customer, ask):
        customer.gift(10, days=5)
        terms = {"pool": "promotional", "to_pool": "bulk", "amount": 6}
        before = customer.lines()

        preview = services.preview_adjustment(
            account_id=customer.account_id, kind=Kind.MOVE, terms=terms, now=customer.now
        )

        assert customer.lines() == before
        assert CreditLot.objects.count() == 1
        ask(Kind.MOVE, **terms)
        said = [(e.kind, e.amount, e.pool, e.balance_after) for e in preview.entries]
        done = LedgerEntry.objects.filter(sequence__gt=preview.sequence).order_by("sequence")
        assert said == [(e.kind, e.amount, e.pool, e.balance_after) for e in done]
        assert len(said) == 2

    def test_is_looked_at_again_when_the_account_has_changed(self, customer, ann):
        customer.grant(10)
        preview = services.preview_adjustment(
            account_id=customer.account_id, kind=Kind.REMOVE,
            terms={"pool": "bulk", "amount": 3}, now=customer.now,
        )  # fmt: skip
        customer.spend(1)

        with pytest.raises(services.BooksChanged):
            services.request_adjustment(
                form_id=uuid4(), account_id=customer.account_id, kind=Kind.REMOVE,
                terms={"pool": "bulk", "amount": 3}, reason_code="other", reason="x",
                user_id=ann.pk, limit=100, sequence=preview.sequence, now=customer.now,
            )  # fmt: skip

        assert customer.available == 9


class TestTheLimit:
    def test_above_it_nothing_happens_yet(self, customer, ask):
        adjustment = ask(Kind.GRANT, pool="bulk", amount=101)

        assert adjustment.state == State.WAITING
        assert customer.available == 0

    def test_counts_what_one_person_did_alone_within_a_day(self, customer, ask):
        states = [ask(Kind.GRANT, pool="bulk", amount=60).state for _ in range(2)]
        customer.wait(days=1)
        states.append(ask(Kind.GRANT, pool="bulk", amount=60).state)

        assert states == [State.POSTED, State.WAITING, State.POSTED]

    def test_does_not_count_what_a_second_person_agreed_to(self, customer, ask, decide):
        decide(ask(Kind.GRANT, pool="bulk", amount=500))

        assert ask(Kind.GRANT, pool="bulk", amount=100).state == State.POSTED

    def test_counts_credits_that_are_given_back_or_live_on(self, customer, ask):
        customer.grant(300)
        hold, lot = customer.spend(150), customer.gift(150, days=3)

        assert ask(Kind.GIVE_BACK, hold=hold.pk).state == State.WAITING
        extended = ask(Kind.EXTEND, lot=lot.pk, expires_at=in_days(customer, 9))
        assert extended.state == State.WAITING

    @pytest.mark.parametrize("kind", Kind.values)
    def test_holds_for_every_kind(self, customer, ask, kind):
        """With a limit that is one too small each waits; with one that is just enough none does."""
        customer.grant(9)
        customer.gift(9, days=9)
        hold, token = customer.spend(2), customer.buy_token()
        lot = CreditLot.objects.get(pool="promotional")
        moved = {"pool": "bulk", "amount": 2}
        terms, weight = {
            "grant": (moved, 2),
            "remove": (moved, 2),
            "move": ({**moved, "to_pool": "promotional", "expires_at": in_days(customer, 3)}, 2),
            "extend": ({"lot": lot.pk, "expires_at": in_days(customer, 19)}, lot.remaining),
            "give_back": ({"hold": hold.pk}, 2),
            "issue_token": ({}, 1),
            "revoke_token": ({"token": token.pk}, 1),
        }[kind]

        assert ask(kind, limit=weight - 1, **terms).state == State.WAITING
        assert ask(kind, limit=weight, **terms).state == State.POSTED

    @pytest.mark.django_db(transaction=True)
    def test_holds_for_one_person_at_two_screens(self, customer, ask):
        outcomes = race(*[lambda: ask(Kind.GRANT, pool="bulk", amount=60)] * 2)

        states = [getattr(outcome, "state", outcome) for outcome in outcomes]
        # The second saw an account that had changed, or came after the first and is above.
        assert states.count(State.POSTED) == 1
        assert customer.available == 60


class TestTheOwnAccount:
    """Nobody gives themselves credits, however few."""

    @pytest.fixture
    def own(self, customer):
        return Account.objects.get(pk=customer.account_id).user_id

    def test_waits_for_somebody_else(self, customer, ask, own, decide):
        waiting = ask(Kind.GRANT, pool="bulk", amount=1, user_id=own)
        assert waiting.state == State.WAITING

        decide(waiting)
        assert customer.available == 1

    def test_is_not_approved_by_its_owner(self, customer, ask, own, decide):
        with pytest.raises(services.OwnAdjustment, match="your own account"):
            decide(ask(Kind.GRANT, pool="bulk", amount=500), user_id=own)

        assert customer.available == 0


class TestAFrozenAccount:
    def test_is_adjusted_like_any_other_and_stays_frozen(self, customer, ask):
        customer.grant(5)
        services.freeze_account(account_id=customer.account_id, now=customer.now)

        ask(Kind.REMOVE, pool="bulk", amount=2)
        ask(Kind.GRANT, pool="bulk", amount=1)

        assert customer.balance.pools["bulk"] == 4
        with pytest.raises(services.AccountFrozen):
            customer.spend(1)


class TestTime:
    def test_what_would_have_ended_by_the_approval_is_not_posted(self, customer, ask, decide):
        waiting = ask(Kind.GRANT, pool="promotional", amount=500, expires_at=in_days(customer, 2))
        customer.wait(days=3)

        with pytest.raises(services.InvalidAdjustment):
            decide(waiting)
        assert LedgerEntry.objects.count() == 0

    def test_credits_that_end_before_they_begin_are_refused(self, customer, ask):
        with pytest.raises(services.InvalidAdjustment):
            ask(Kind.GRANT, pool="promotional", amount=5, expires_at=in_days(customer, 0))


class TestTheSecondPerson:
    @pytest.fixture
    def waiting(self, ask):
        return ask(Kind.GRANT, pool="bulk", amount=500)

    def test_posts_it_in_the_name_of_who_asked(self, customer, waiting, decide, bob):
        decided = decide(waiting)

        assert (decided.state, decided.decided_by, customer.available) == (State.POSTED, bob, 500)
        assert LedgerEntry.objects.get().actor == "staff:ann@example.com"
        assert list(StaffAction.objects.order_by("id").values_list("action", "actor")) == [
            ("adjustment.waiting", "staff:ann@example.com"),
            ("adjustment.approve", "staff:bob@example.com"),
        ]

    def test_is_never_the_first_one(self, customer, waiting, decide, ann):
        with pytest.raises(services.OwnAdjustment):
            decide(waiting, user_id=ann.pk)

        assert customer.available == 0

    def test_is_never_the_first_one_says_the_database_too(self, waiting, ann, customer):
        with pytest.raises(IntegrityError), transaction.atomic():
            Adjustment.objects.update(state="posted", decided_by=ann, decided_at=customer.now)

    def test_may_refuse(self, customer, waiting, decide, bob):
        services.refuse_adjustment(
            adjustment_id=waiting.pk, user_id=bob.pk, reason="no", now=customer.now
        )

        with pytest.raises(services.AdjustmentSettled):
            decide(waiting)
        assert customer.available == 0

    def test_who_asked_may_take_it_back(self, customer, waiting, ann):
        taken_back = services.refuse_adjustment(
            adjustment_id=waiting.pk, user_id=ann.pk, reason="", now=customer.now
        )

        assert taken_back.state == State.REFUSED

    def test_comes_too_late_after_seven_days(self, customer, waiting, decide):
        customer.wait(days=7)

        with pytest.raises(services.AdjustmentSettled):
            decide(waiting)
        assert services.lapse_adjustments(now=customer.now) == 1
        assert services.lapse_adjustments(now=customer.now) == 0
        waiting.refresh_from_db()
        assert waiting.state == State.LAPSED
        last = StaffAction.objects.latest("pk")
        assert (last.actor, last.action) == ("system", "adjustment.lapse")
        assert last.account_id == customer.account_id

    def test_looks_again_when_the_account_has_changed(self, customer, waiting, decide):
        customer.grant(1)

        with pytest.raises(services.BooksChanged):
            decide(waiting, sequence=0)

    @pytest.mark.django_db(transaction=True)
    def test_eight_approvals_at_once_post_once(self, customer, waiting, decide):
        outcomes = race(*[lambda: decide(waiting)] * 8)

        assert kinds(outcomes) == {"Adjustment": 1, "AdjustmentSettled": 7}
        assert customer.available == 500

    @pytest.mark.django_db(transaction=True)
    def test_approval_and_refusal_at_once_do_one_of_the_two(self, customer, waiting, decide, bob):
        outcomes = race(
            lambda: decide(waiting),
            lambda: services.refuse_adjustment(
                adjustment_id=waiting.pk, user_id=bob.pk, reason="no", now=customer.now
            ),
        )

        assert kinds(outcomes) == {"Adjustment": 1, "AdjustmentSettled": 1}
        waiting.refresh_from_db()
        assert customer.available == (500 if waiting.state == State.POSTED else 0)

    @pytest.mark.django_db(transaction=True)
    def test_without_the_lock_both_would_believe_to_have_done_it(
        self, customer, waiting, decide, bob, monkeypatch
    ):
        """The negative control of the race above."""
        if connection.vendor == "sqlite":
            pytest.skip("BEGIN IMMEDIATE lets nobody else read meanwhile")

        def unlocked(adjustment_id, user_id, now):
            return Adjustment.objects.get(pk=adjustment_id), bob

        monkeypatch.setattr(adjustments, "_to_be_decided", unlocked)
        meet_before(monkeypatch, 2, adjustments, "_settle")

        outcomes = race(
            lambda: decide(waiting),
            lambda: services.refuse_adjustment(
                adjustment_id=waiting.pk, user_id=bob.pk, reason="no", now=customer.now
            ),
        )

        assert kinds(outcomes) == {"Adjustment": 2}


class TestTheSameFormTwice:
    def test_posts_once(self, customer, ask):
        form_id = uuid4()

        first, again = (ask(Kind.GRANT, form_id=form_id, pool="bulk", amount=5) for _ in range(2))

        assert (first.pk, customer.available) == (again.pk, 5)

    def test_with_other_terms_is_refused(self, customer, ask):
        form_id = uuid4()
        ask(Kind.GRANT, form_id=form_id, pool="bulk", amount=5)

        with pytest.raises(services.IdempotencyConflict):
            ask(Kind.GRANT, form_id=form_id, pool="bulk", amount=6)

        assert customer.available == 5


class TestFreezing:
    def test_is_logged_once_with_its_reason(self, customer, now):
        for _ in range(2):
            services.freeze_account(
                account_id=customer.account_id, actor="staff:ann", reason="stolen card", now=now
            )

        action = StaffAction.objects.get()
        assert (action.action, action.reason) == ("account.frozen", "stolen card")
        with pytest.raises(services.AccountFrozen):
            customer.spend(1)
        services.unfreeze_account(account_id=customer.account_id, now=now + timedelta(days=1))
        assert Account.objects.get().status == "active"


def test_every_kind_can_be_posted():
    assert set(adjustments.APPLY) == set(Kind)
