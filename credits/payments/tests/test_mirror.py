"""Feeding dj-stripe, and being fed by it: nothing is lost, nothing counts twice, nothing waits."""

import json
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from djstripe import event_handlers
from djstripe.models import Account, Event
from djstripe.signals import WEBHOOK_SIGNALS

from credits import queries
from credits.models import CreditLot, InboxEvent, Notice
from credits.payments import inbox, mirror, receivers
from credits.payments.rules import RULES
from credits.payments.tests import events as stripe
from credits.tests.race import meet_before, race

pytestmark = pytest.mark.django_db
KEY = "sk_test_" + "1" * 24
HOUR = timedelta(hours=1)


@pytest.fixture
def alone(settings, monkeypatch):
    """dj-stripe without Stripe: it keeps the event and calls receivers, and fetches nothing."""
    settings.STRIPE_SECRET_KEY = KEY
    monkeypatch.setattr(Account, "get_or_retrieve_for_api_key", lambda key: None)
    for module in (event_handlers, receivers):
        monkeypatch.setattr(module, "_handle_crud_like_event", lambda **what: None)


@pytest.fixture
def pack(now):
    return stripe.event(
        "checkout.session.completed", stripe.session("1", offer="pack-50"), created=now
    )


@pytest.fixture
def stored(at_stripe, now):
    """Delivers an event, due from `now` on; returns its row."""

    def deliver(content):
        assert stripe.deliver(at_stripe.client, content).status_code == 200
        InboxEvent.objects.update(next_mirror_at=now)
        return InboxEvent.objects.get(event_id=content["id"])

    return deliver


def refuse(monkeypatch, *types):
    """dj-stripe raises for events of these types."""
    take = Event.process

    def process(data, api_key=None):
        if data["type"] in types:
            raise RuntimeError("no such column")
        return take(data, api_key=api_key)

    monkeypatch.setattr(Event, "process", process)


class TestTheMirror:
    def test_takes_every_event_once(self, alone, stored, pack, now):
        row = stored(pack)
        assert mirror.mirror_due(now=now) == 1
        assert mirror.mirror_due(now=now + HOUR) == 0
        row.refresh_from_db()
        assert (row.mirrored_at, row.mirror_attempts) == (now, 1)
        assert Event.objects.get().id == pack["id"]
        assert InboxEvent.objects.count() == 1

    def test_is_apart_from_applying(self, alone, stored, pack, now, at_stripe):
        stored(pack)
        mirror.mirror_due(now=now)
        assert at_stripe.balance.available == 0
        at_stripe.apply()
        assert at_stripe.balance.available == 50

    def test_rests_where_there_is_no_key(self, stored, pack, now, settings):
        settings.STRIPE_SECRET_KEY = ""
        row = stored(pack)
        assert mirror.mirror_due(now=now) == 0
        row.refresh_from_db()
        assert (row.mirror_attempts, row.next_mirror_at) == (0, now)

    def test_one_that_it_cannot_take_holds_up_nobody(self, alone, stored, pack, now, monkeypatch):
        refuse(monkeypatch, "invoice.paid")
        bad = stored(stripe.event("invoice.paid", {"id": "in_1"}, created=now))
        good = stored(pack)
        assert mirror.mirror_due(now=now) == 2
        bad.refresh_from_db()
        good.refresh_from_db()
        assert good.mirrored_at == now
        assert "no such column" in bad.mirror_error
        assert bad.next_mirror_at == now + mirror.FIRST_PAUSE

    def test_tries_again_with_growing_pauses_and_then_gives_up_visibly(
        self, alone, stored, pack, now, monkeypatch
    ):
        refuse(monkeypatch, pack["type"])
        row, pauses = stored(pack), []
        while row.next_mirror_at:
            before = row.next_mirror_at
            assert mirror.mirror_due(now=before) == 1
            row.refresh_from_db()
            if row.next_mirror_at:
                pauses.append(row.next_mirror_at - before)
        assert row.mirror_attempts == mirror.MOST_ATTEMPTS
        assert pauses == sorted(pauses) and pauses[-1] == mirror.LONGEST_PAUSE
        assert "no such column" in row.mirror_error
        assert row.state == InboxEvent.State.RECEIVED  # applying does not care
        [told] = Notice.objects.filter(kind=Notice.Kind.STAFF)
        assert told.context["path"] == f"/admin/credits/inboxevent/{row.pk}/change/"

    def test_takes_over_what_a_dead_worker_had_claimed(self, alone, stored, pack, now):
        row = stored(pack)
        assert mirror._claim(row, now)
        assert mirror.mirror_due(now=now) == 0
        assert mirror.mirror_due(now=now + mirror.LEASE) == 1
        row.refresh_from_db()
        assert (row.mirrored_at, row.mirror_attempts) == (now + mirror.LEASE, 2)

    def test_a_late_failure_does_not_undo_what_another_worker_did(self, alone, stored, pack, now):
        late = stored(pack)
        mirror._claim(late, now)
        mirror.mirror_due(now=now + mirror.LEASE)
        mirror._postpone(late, "late", now + HOUR)
        late.refresh_from_db()
        assert (late.mirror_error, late.mirrored_at) == ("", now + mirror.LEASE)

    @pytest.mark.parametrize(
        "changes",
        [
            {"next_mirror_at": None},
            {"mirrored_at": "2026-01-01T00:00:00Z"},
            {
                "mirrored_at": "2026-01-01T00:00:00Z",
                "next_mirror_at": None,
                "mirror_error": "broken",
            },
        ],
    )
    def test_the_database_refuses_a_row_that_is_lost(self, stored, pack, changes):
        row = stored(pack)
        with pytest.raises(IntegrityError), transaction.atomic():
            InboxEvent.objects.filter(pk=row.pk).update(**changes)


@pytest.mark.django_db(transaction=True)
def test_no_lock_is_held_while_dj_stripe_asks_stripe(alone, stored, pack, now, monkeypatch):
    states = []
    monkeypatch.setattr(
        Event, "process", lambda data, api_key: states.append(connection.in_atomic_block)
    )
    stored(pack)
    mirror.mirror_due(now=now)
    assert states == [False]


@pytest.mark.django_db(transaction=True)
class TestTwoWorkers:
    @pytest.fixture
    def taken(self, alone, stored, pack, monkeypatch):
        """The events that dj-stripe was given; both workers have read the list before the first."""
        taken = []
        monkeypatch.setattr(Event, "process", lambda data, api_key: taken.append(data["id"]))
        for number in range(5):
            stored({**pack, "id": f"evt_same_{number}"})
        meet_before(monkeypatch, 2, mirror, "_forget_other_keys")
        return taken

    def test_do_not_take_the_same_event(self, taken, now):
        race(*[lambda: mirror.mirror_due(now=now)] * 2)
        assert sorted(taken) == [f"evt_same_{number}" for number in range(5)]

    def test_would_take_it_without_the_claim(self, taken, now, monkeypatch):
        monkeypatch.setattr(mirror, "_claim", lambda event, now: True)
        race(*[lambda: mirror.mirror_due(now=now)] * 2)
        assert len(taken) == 10


@pytest.mark.parametrize("kind", RULES)
def test_every_rule_has_a_receiver_that_is_alive(kind):
    alive, _ = WEBHOOK_SIGNALS[kind]._live_receivers(Event)
    assert receivers.put_into_inbox in alive


class TestAnEventByTwoRoads:
    def arrives_at_our_door(self, at_stripe, pack):
        assert stripe.deliver(at_stripe.client, pack).status_code == 200

    def reaches_dj_stripe(self, at_stripe, pack):
        Event.process(pack, api_key=KEY)

    @pytest.mark.parametrize("order", [1, -1])
    def test_moves_credits_once_in_both_orders(self, alone, at_stripe, pack, order):
        roads = [self.arrives_at_our_door, self.reaches_dj_stripe]
        for road in roads[::order]:
            road(at_stripe, pack)
            at_stripe.apply()
            assert at_stripe.balance.available == 50
        assert InboxEvent.objects.count() == Event.objects.count() == 1

    def test_is_stored_as_it_came(self, alone, at_stripe, pack):
        self.reaches_dj_stripe(at_stripe, pack)
        row = InboxEvent.objects.get()
        assert json.loads(row.body) == pack
        assert (row.type, row.object_id) == (pack["type"], "cs_1")

    def test_of_the_other_mode_is_not_ours(self, alone, at_stripe, pack):
        self.reaches_dj_stripe(at_stripe, {**pack, "livemode": True})
        assert not InboxEvent.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_event_by_every_road_at_the_same_moment_moves_credits_once(
    alone, at_stripe, pack, account, now
):
    row = receivers.intake.parse(json.dumps(pack))
    row.next_attempt_at = now
    roads = [
        lambda: receivers.intake.store(row),
        lambda: Event.process(pack, api_key=KEY),
        lambda: Event.process(pack, api_key=KEY),
        lambda: inbox.apply_due(now=now),
    ]
    assert not [error for error in race(*roads) if isinstance(error, Exception)]
    at_stripe.apply()
    assert queries.balance(account_id=account.pk, now=now).available == 50
    assert CreditLot.objects.count() == InboxEvent.objects.count() == 1
