"""Events in the hands of staff: tried out without a trace, retried, ignored, mirrored again."""

from datetime import timedelta

import pytest
from django.db import transaction

from credits import queries
from credits.models import (
    Account,
    CreditLot,
    InboxEvent,
    LedgerEntry,
    Notice,
    Payment,
    RetailToken,
    StaffAction,
    Subscription,
)
from credits.payments import by_hand, inbox, mirror
from credits.payments.tests import events as stripe
from credits.tests.race import meet_before, race

pytestmark = pytest.mark.django_db
State = InboxEvent.State
TABLES = (
    Account, CreditLot, InboxEvent, LedgerEntry, Notice, Payment, RetailToken, StaffAction,
    Subscription,
)  # fmt: skip
WHO = "staff:ann@example.com"


@pytest.fixture
def stored(at_stripe):
    """An event that has arrived and was not applied yet."""

    def store(kind, obj):
        content = stripe.event(kind, obj, created=at_stripe.now, version=at_stripe.version)
        assert stripe.deliver(at_stripe.client, content).status_code == 200
        return InboxEvent.objects.get(event_id=content["id"])

    return store


@pytest.fixture
def pack(stored):
    return stored("checkout.session.completed", stripe.session("1", offer="pack-50"))


def everything():
    return [list(table.objects.order_by("pk").values()) for table in TABLES]


class TestADryRun:
    def test_shows_what_would_be_written_and_leaves_no_trace(self, pack, now):
        before = everything()
        trial = by_hand.try_out(pack.pk, now=now)
        assert everything() == before
        assert trial.event.state == State.APPLIED
        assert [(line.kind, line.amount, line.balance_after) for line in trial.entries] == [
            ("grant", 50, 50)
        ]
        assert [notice.kind for notice in trial.notices] == ["purchase"]

    def test_shows_what_applying_then_does(self, at_stripe, stored, now):
        at_stripe.pays_invoice("1")
        line = at_stripe.line(start=now + timedelta(days=31))
        paid = stripe.invoice("2", version=at_stripe.version, lines=[line])
        event = stored("invoice.paid", paid)
        trial = by_hand.try_out(event.pk, now=now)
        by_hand.retry(event.pk, actor=WHO, now=now + timedelta(seconds=1))
        event.refresh_from_db()
        shown = [(line.sequence, line.kind, line.amount) for line in trial.entries]
        assert shown == list(by_hand.lines_of(event).values_list("sequence", "kind", "amount"))
        assert [kind for _, kind, _ in shown] == ["expire", "grant"]

    def test_shows_single_generations_that_come(self, stored, now):
        event = stored("checkout.session.completed", stripe.session("1", offer="single"))
        trial = by_hand.try_out(event.pk, now=now)
        assert [token.state for token in trial.tokens] == ["available"]
        assert not RetailToken.objects.exists()

    def test_of_a_refund_finds_its_account_by_the_payment(self, at_stripe, stored, now):
        at_stripe.sends("checkout.session.completed", stripe.session("1", offer="pack-50"))
        event = stored("charge.refunded", stripe.charge("pi_cs_1", refunded=500, amount=500))
        trial = by_hand.try_out(event.pk, now=now + timedelta(hours=1))
        assert [(line.kind, line.amount) for line in trial.entries] == [("claw_back", -50)]
        assert at_stripe.balance.available == 50

    def test_says_why_nothing_would_come_of_it(self, pack, now):
        Account.objects.update(stripe_customer_id=None)
        trial = by_hand.try_out(pack.pk, now=now)
        assert (trial.event.state, trial.entries) == (State.WAITING, [])
        assert "No account is linked" in trial.event.reason

    def test_of_an_error_says_so_and_leaves_no_trace(self, pack, now, monkeypatch):
        monkeypatch.setitem(inbox.rules.RULES, pack.type, lambda event: 1 / 0)
        before = everything()
        assert "ZeroDivisionError" in by_hand.try_out(pack.pk, now=now).event.reason
        assert everything() == before


class TestARetry:
    def test_applies_at_once_what_waits_for_its_time(self, at_stripe, pack, now):
        InboxEvent.objects.update(next_attempt_at=now + timedelta(days=1))
        assert by_hand.retry(pack.pk, actor=WHO, now=now).state == State.APPLIED
        assert at_stripe.balance.available == 50

    def test_is_in_the_audit_log(self, pack, account, now):
        by_hand.retry(pack.pk, actor=WHO, now=now)
        [action] = StaffAction.objects.all()
        assert (action.actor, action.action, action.target) == (WHO, "inbox.retry", pack.event_id)
        assert (action.before["state"], action.after["state"]) == ("received", "applied")
        assert action.account_id == account.pk

    def test_of_an_applied_event_is_refused(self, at_stripe, pack, now):
        at_stripe.apply()
        with pytest.raises(by_hand.EventSettled):
            by_hand.retry(pack.pk, actor=WHO, now=now)
        assert not StaffAction.objects.exists()


class TestIgnoring:
    def test_keeps_the_reason_and_the_name(self, at_stripe, pack, now):
        by_hand.ignore(pack.pk, actor=WHO, reason="A test of ours.", now=now)
        at_stripe.apply(later=timedelta(days=1))
        pack.refresh_from_db()
        assert (pack.state, pack.reason) == (State.IGNORED, "staff: A test of ours.")
        assert at_stripe.balance.available == 0
        [action] = StaffAction.objects.all()
        assert (action.actor, action.action, action.reason) == (
            WHO, "inbox.ignore", "A test of ours.",
        )  # fmt: skip

    def test_is_taken_back_by_a_retry(self, at_stripe, pack, now):
        by_hand.ignore(pack.pk, actor=WHO, reason="By mistake.", now=now)
        by_hand.retry(pack.pk, actor=WHO, now=now)
        assert at_stripe.balance.available == 50


class TestTheMirror:
    def test_begins_anew(self, pack, now):
        given_up = {"next_mirror_at": None, "mirror_error": "boom"}
        InboxEvent.objects.update(mirror_attempts=mirror.MOST_ATTEMPTS, **given_up)
        by_hand.mirror_again(pack.pk, actor=WHO, now=now)
        pack.refresh_from_db()
        assert (pack.next_mirror_at, pack.mirror_attempts, pack.mirror_error) == (now, 0, "")
        assert StaffAction.objects.get().action == "inbox.mirror_again"

    def test_is_left_alone_where_it_has_the_event(self, pack, now):
        InboxEvent.objects.update(mirrored_at=now, next_mirror_at=None)
        with pytest.raises(by_hand.EventSettled):
            by_hand.mirror_again(pack.pk, actor=WHO, now=now)


@pytest.mark.django_db(transaction=True)
class TestAtTheSameMoment:
    def test_staff_and_workers_apply_an_event_once(self, at_stripe, pack, now):
        InboxEvent.objects.update(next_attempt_at=now)
        race(
            *[lambda: by_hand.retry(pack.pk, actor=WHO, now=now)] * 3,
            *[lambda: inbox.apply_due(now=now)] * 3,
            *[lambda: by_hand.try_out(pack.pk, now=now)] * 2,
        )
        inbox.apply_due(now=now)
        assert at_stripe.balance.available == 50
        assert LedgerEntry.objects.count() == 1
        assert StaffAction.objects.count() <= 1

    def test_without_the_lock_an_ignored_event_is_applied_all_the_same(
        self, at_stripe, pack, now, monkeypatch
    ):
        """The negative control: what both have read is no longer true when they write."""
        if inbox.connection.vendor == "sqlite":
            pytest.skip("BEGIN IMMEDIATE is the lock")
        monkeypatch.setattr(inbox, "free", lambda rows: rows)
        meet_before(monkeypatch, 2, inbox, "save")
        InboxEvent.objects.update(next_attempt_at=now)
        outcomes = race(
            lambda: by_hand.ignore(pack.pk, actor=WHO, reason="Ours.", now=now),
            lambda: inbox.apply_due(now=now),
        )
        assert not any(isinstance(outcome, Exception) for outcome in outcomes)
        assert at_stripe.balance.available == 50  # although staff was told that it is ignored

    def test_ignoring_and_applying_never_both_happen(self, at_stripe, pack, now):
        InboxEvent.objects.update(next_attempt_at=now)
        ignored, _ = race(
            lambda: by_hand.ignore(pack.pk, actor=WHO, reason="Ours.", now=now),
            lambda: inbox.apply_due(now=now),
        )
        was_ignored = isinstance(ignored, InboxEvent)
        assert at_stripe.balance.available == (0 if was_ignored else 50)
        pack.refresh_from_db()
        assert pack.state == (State.IGNORED if was_ignored else State.APPLIED)

    def test_an_event_in_a_workers_hands_is_not_waited_for(self, pack, now):
        if not inbox.connection.features.has_select_for_update_skip_locked:
            pytest.skip("this database waits")
        with transaction.atomic():
            assert inbox.free(InboxEvent.objects.filter(pk=pack.pk)).first()
            [busy] = race(lambda: by_hand.retry(pack.pk, actor=WHO, now=now))
        assert isinstance(busy, by_hand.EventBusy)
        assert list(queries.find_imbalances()) == []
