"""The worker as the site runs it: it also applies what Stripe has sent."""

import signal

import pytest
from django.utils import timezone

from credits import queries
from credits.models import InboxEvent, Offer
from credits.payments.tests import events as stripe
from credits.tests.conftest import account, books_balance, new_account
from generation.tests.worker_process import until, worker

__all__ = ["account", "books_balance", "new_account"]


@pytest.mark.django_db(transaction=True)
def test_a_paid_pack_arrives_and_the_worker_stops_cleanly(client, settings, account):
    settings.STRIPE_WEBHOOK_SECRET = [stripe.SECRET]
    Offer.objects.create(
        slug="pack-50", name="50", kind="pack", credits=50, amount=500, currency="usd"
    )
    account.stripe_customer_id = "cus_1"
    account.save(update_fields=["stripe_customer_id"])
    content = stripe.event(
        "checkout.session.completed",
        stripe.session("1", offer="pack-50"),
        created=timezone.now(),
    )
    assert stripe.deliver(client, content).status_code == 200
    with worker("http://127.0.0.1:9/v1") as process:
        applied = InboxEvent.objects.filter(state=InboxEvent.State.APPLIED)
        until(applied.exists, "the event is applied")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert queries.balance(account_id=account.pk, now=timezone.now()).available == 50
