"""A customer who is linked to Stripe, and Stripe's side of the line."""

import pytest

from credits.models import Offer
from credits.payments.tests import events as stripe
from credits.payments.tests.events import VERSIONS
from credits.payments.tests.sender import Stripe
from credits.tests.conftest import account, books_balance, new_account

__all__ = ["account", "books_balance", "new_account"]


@pytest.fixture(params=VERSIONS)
def version(request):
    return request.param


@pytest.fixture
def offers(db):
    for slug, kind, allowance, price in [
        ("starter", "plan", 20, "price_starter"),
        ("pro", "plan", 100, "price_pro"),
        ("pack-50", "pack", 50, ""),
        ("single", "retail", 0, ""),
    ]:
        Offer.objects.create(
            slug=slug,
            name=slug,
            kind=kind,
            credits=allowance,
            rollover_cap=5 if slug == "pro" else 0,
            amount=900,
            currency="usd",
            interval="month" if kind == "plan" else "",
            stripe_price_id=price,
        )


@pytest.fixture
def stripe_of(client, settings, now, version, offers):
    settings.STRIPE_WEBHOOK_SECRET = [stripe.SECRET]
    return lambda account: Stripe(client, account, now, version)


@pytest.fixture
def at_stripe(stripe_of, account):
    account.stripe_customer_id = "cus_1"
    account.save(update_fields=["stripe_customer_id"])
    return stripe_of(account)
