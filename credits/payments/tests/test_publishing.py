"""Publishing a draft where the site sells: Stripe is asked first, and nothing is made twice."""

import re
from dataclasses import replace

import pytest
from django.urls import reverse

from credits import drafts
from credits.models import Offer
from credits.payments import client as stripe_client
from credits.payments import publishing
from credits.payments.tests.fake_stripe_api import selling
from credits.pricing import Listed, PricingError

pytestmark = pytest.mark.django_db(transaction=True)
CREATE = "POST /v1/prices"
PLAN = Listed("team", "Team", "plan", 9900, "usd", credits=500, interval="month")


@pytest.fixture
def stripe_api():
    with selling() as api:
        yield api


@pytest.fixture
def draft(now):
    return drafts.save_draft(PLAN, actor="staff:a", now=now)


@pytest.fixture
def publish(draft, now):
    def publish():
        seen = drafts.listed(Offer.objects.get())
        return publishing.publish_offer(offer_id=draft.pk, seen=seen, actor="staff:a", now=now)

    return publish


def test_makes_the_price_and_sells_under_it(stripe_api, publish):
    offer = publish()

    [price] = stripe_api.made("price")
    assert (offer.state, offer.stripe_price_id) == ("published", price["id"])
    assert stripe_api.asked(CREATE)[0]["unit_amount"] == "9900"


def test_leaves_a_draft_while_stripe_is_out_of_order(stripe_api, publish, draft):
    stripe_api.out_of_order = True
    with pytest.raises(stripe_client.SellingUnavailable):
        publish()
    draft.refresh_from_db()
    assert (draft.state, draft.stripe_price_id) == ("draft", "")

    stripe_api.out_of_order = False
    assert publish().state == "published"


def test_says_so_on_the_page(stripe_api, draft, client, django_user_model):
    client.force_login(django_user_model.objects.create_superuser("owner@example.com", "pw"))
    stripe_api.out_of_order = True
    address = reverse("admin:credits_offer_publish", args=[draft.pk])
    agreed = re.search(r'name="agreed" value="([^"]+)"', client.get(address).content.decode())
    page = client.post(address, {"agreed": agreed[1]})
    assert (page.status_code, Offer.objects.get().state) == (400, "draft")
    assert "Stripe made no price, so it stays a draft" in page.content.decode()


def test_that_was_lost_after_the_price_was_made_finds_it_again(
    stripe_api, publish, draft, monkeypatch
):
    def crash(**_arguments):
        raise RuntimeError("the process died")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(drafts, "publish", crash)
        publish()
    draft.refresh_from_db()
    assert draft.state == "draft"

    offer = publish()

    [price] = stripe_api.made("price")
    assert offer.stripe_price_id == price["id"]


def test_of_terms_that_changed_after_the_price_was_made_wants_another_slug(
    stripe_api, publish, draft, now, monkeypatch
):
    with monkeypatch.context() as patch, pytest.raises(PricingError):
        patch.setattr(drafts, "publish", lambda **_more: (_ for _ in ()).throw(PricingError("x")))
        publish()
    cheaper = replace(PLAN, amount=8900)
    drafts.save_draft(cheaper, offer_id=draft.pk, actor="staff:a", now=now)

    with pytest.raises(PricingError, match="give the new terms a new slug"):
        publish()
    draft.refresh_from_db()
    assert draft.state == "draft"
