"""Whatever order events arrive in, and however often, the end is the same."""

import json
import os
import random
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from credits import queries, services
from credits.models import CreditLot, InboxEvent, Offer, RetailToken, Subscription
from credits.payments import inbox, intake
from credits.payments.tests import events as stripe
from credits.payments.tests.events import MONTH, NEW, OLD

pytestmark = pytest.mark.django_db
# Over all lives of each test below. The 1,000 of CI take some minutes.
SHUFFLES = int(os.environ.get("SHUFFLES") or (1000 if os.environ.get("CI") else 40))
DAY = timedelta(days=1)


def failed_refunds(start):
    """Of two refunds of a pack one fails and another is made; that of a token fails as well."""

    def refund(number, purchase, amount, **changes):
        changes.setdefault("made", start + 4 * DAY)
        return stripe.refund(number, f"pi_cs_{purchase}", amount=amount, **changes)

    def charge(purchase, refunded):
        return stripe.charge(f"pi_cs_{purchase}", amount=500, refunded=refunded)

    failed = refund("1", "4", 200, status="failed")
    third = refund("3", "4", 100, made=start + 9 * DAY)
    token = refund("4", "5", 500, status="canceled")
    return [
        ("checkout.session.completed", stripe.session("4", offer="pack-50"), start + DAY),
        ("checkout.session.completed", stripe.session("5", offer="single"), start + DAY),
        ("refund.created", refund("1", "4", 200), start + 4 * DAY),
        ("charge.refunded", charge("4", 200), start + 4 * DAY),
        ("refund.updated", refund("2", "4", 50, made=start + 5 * DAY), start + 5 * DAY),
        ("charge.refunded", charge("4", 250), start + 5 * DAY),
        ("refund.updated", failed, start + 8 * DAY),
        ("refund.failed", failed, start + 8 * DAY),
        ("refund.created", third, start + 9 * DAY),
        ("charge.refunded", charge("4", 150), start + 9 * DAY),
        ("charge.refunded", charge("5", 500), start + 4 * DAY),
        ("charge.refund.updated", token, start + 5 * DAY),
    ]


def life(start, version, *, ends):
    """Two periods, the second paid late; up and down; packs, a token, refunds, disputes; an end."""

    def invoice(number, *lines, **changes):
        return stripe.invoice(number, version=version, lines=list(lines), **changes)

    def line(price, begin, end, **changes):
        return stripe.line(price, begin, end, version=version, **changes)

    def subscription(status):
        return stripe.subscription(version=version, status=status, end=start + 2 * MONTH)

    def dispute(status):
        return stripe.dispute("pi_cs_2", status=status, amount=500)

    second, half = start + MONTH, start + MONTH + MONTH / 2

    def change(number, old, new, moment):
        end = second + MONTH
        lines = [
            line(old, moment, end, amount=-450, proration=True),
            line(new, moment, end, amount=2000, proration=True),
        ]
        return invoice(number, *lines, reason="subscription_update")

    renewal = invoice("2", line("price_starter", second, second + MONTH))
    failed = {**renewal, "status": "open", "amount_paid": 0, "amount_due": 900, "attempt_count": 1}
    asynchronous = stripe.session("2", offer="pack-50")
    events = [
        ("customer.subscription.created", subscription("active"), start),
        ("invoice.paid", invoice("1", line("price_starter", start, second)), start),
        ("checkout.session.completed", stripe.session("1", offer="pack-50"), start + DAY),
        ("checkout.session.completed", {**asynchronous, "payment_status": "unpaid"}, start + DAY),
        ("checkout.session.async_payment_succeeded", asynchronous, start + 3 * DAY),
        ("checkout.session.completed", stripe.session("3", offer="single"), start + DAY),
        ("charge.refunded", stripe.charge("pi_cs_1", amount=500, refunded=100), start + 4 * DAY),
        ("charge.refunded", stripe.charge("pi_cs_1", amount=500, refunded=300), start + 5 * DAY),
        ("charge.refunded", stripe.charge("pi_cs_3", amount=500, refunded=500), start + 6 * DAY),
        *failed_refunds(start),
        (
            "charge.dispute.created",
            stripe.dispute("pi_cs_2", status="needs_response", amount=500),
            start,
        ),
        ("charge.dispute.closed", stripe.dispute("pi_cs_2", status="won", amount=500), start + DAY),
        ("customer.subscription.updated", subscription("past_due"), second),
        ("invoice.payment_failed", failed, second),
        ("invoice.paid", renewal, second + DAY),
        ("customer.subscription.updated", subscription("active"), second + DAY),
        ("invoice.paid", change("3", "price_starter", "price_pro", half), half),
        ("invoice.paid", change("4", "price_pro", "price_starter", half + DAY), half + DAY),
    ]
    if ends:
        events.append(("customer.subscription.deleted", subscription("canceled"), half + DAY))
        lost = stripe.dispute("pi_in_2", status="lost", amount=900)
        events.append(("charge.dispute.closed", lost, half + 2 * DAY))
    return [
        stripe.event(kind, obj, created=created, version=version) for kind, obj, created in events
    ]


def trial(start, version, *, ends):
    """A week for nothing, in which the plan is changed up and back; a paid period; then the end."""
    begins = start + 7 * DAY

    def line(price, begin, end, **changes):
        return stripe.line(price, begin, end, version=version, **changes)

    def invoice(number, *lines, **changes):
        return stripe.invoice(number, version=version, lines=list(lines), **changes)

    def subscription(status):
        return stripe.subscription(version=version, status=status, end=begins + MONTH)

    def change(number, *plans):
        lines = [line(plan, start + DAY, begins, amount=0, proration=True) for plan in plans]
        return invoice(number, *lines, reason="subscription_update", paid=0)

    free = line("price_starter", start, begins, amount=0)
    events = [
        ("customer.subscription.created", subscription("trialing"), start),
        ("invoice.paid", invoice("1", free, reason="subscription_create", paid=0), start),
        ("invoice.paid", change("2", "price_starter", "price_pro"), start + DAY),
        ("invoice.paid", change("3", "price_pro", "price_starter"), start + DAY),
        ("customer.subscription.updated", subscription("active"), begins),
        ("invoice.paid", invoice("4", line("price_starter", begins, begins + MONTH)), begins),
    ]
    if ends:
        events.append(("customer.subscription.deleted", subscription("canceled"), begins + DAY / 2))
    return [
        stripe.event(kind, obj, created=created, version=version) for kind, obj, created in events
    ]


def play(events, now):
    """Delivers the events to a new customer in this order; returns how everything ended."""
    user = get_user_model().objects.create_user(f"life{timezone.now().timestamp()}@example.com")
    account = services.open_account(user_id=user.pk, now=now)
    account.stripe_customer_id = "cus_1"
    account.save(update_fields=["stripe_customer_id"])
    for event in events:
        row = intake.parse(json.dumps(event))
        row.next_attempt_at = now
        intake.store(row)
        inbox.apply_due(now=now)
    unsettled = InboxEvent.objects.exclude(next_attempt_at=None)
    for minutes in range(1, 40):
        if not unsettled.exists():
            break
        inbox.apply_due(now=now + timedelta(minutes=5 * minutes))
    assert list(queries.find_imbalances([account.pk])) == []
    balance = queries.balance(account_id=account.pk, now=now)
    lots = CreditLot.objects.filter(account=account, pool="bulk").order_by("source_key")
    return {
        "pools": balance.pools,
        "owed": balance.owed,
        "packs": list(lots.values_list("source_key", "remaining", "clawed_back", "frozen")),
        "tokens": sorted(
            RetailToken.objects.filter(account=account).values_list("state", flat=True)
        ),
        "subscription": Subscription.objects.get(account=account).status,
        "unsettled": [f"{row.type} {row.reason}" for row in unsettled.all()],
    }


def play_and_forget(events, now):
    with transaction.atomic():
        end = play(events, now)
        transaction.set_rollback(True)
    return end


@pytest.mark.parametrize("version", [OLD, NEW])
@pytest.mark.parametrize("ends", [False, True], ids=["goes on", "ends"])
def test_a_life_ends_the_same_in_every_order(version, ends, now, offers):
    start = now - MONTH - MONTH / 2 - 3 * DAY
    events = life(start, version, ends=ends)
    expected = play_and_forget(events, now)
    assert expected["unsettled"] == []
    assert expected["tokens"] == ["available", "revoked"]
    assert expected["pools"]["bulk"] == 50 - 30 + 50 + 50 - 15
    assert expected["pools"]["subscription"] == (0 if ends else 20 + 40 - 38)
    assert expected["subscription"] == ("canceled" if ends else "active")
    in_every_order(events, expected, now)


@pytest.mark.parametrize("version", [OLD, NEW])
@pytest.mark.parametrize("ends", [False, True], ids=["goes on", "ends"])
def test_a_trial_ends_the_same_in_every_order(version, ends, now, offers):
    starter = Offer.objects.get(slug="starter")
    starter.trial_days, starter.trial_credits = 7, 5
    starter.save(never_bought=True)
    events = trial(now - 8 * DAY, version, ends=ends)
    expected = play_and_forget(events, now)
    assert expected["unsettled"] == []
    assert expected["pools"]["subscription"] == (0 if ends else 20)
    assert play_and_forget(events[:4], now)["pools"]["subscription"] == 5
    in_every_order(events, expected, now)


def in_every_order(events, expected, now):
    seed = random.randrange(10**6)
    dice = random.Random(seed)
    for number in range(SHUFFLES // 4):
        shuffled = events + dice.choices(events, k=4)
        dice.shuffle(shuffled)
        assert play_and_forget(shuffled, now) == expected, f"seed {seed}, shuffle {number}"
