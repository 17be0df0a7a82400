"""Every page of the admin that a superuser can reach answers, whatever is searched for."""

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import ForeignKey, Model
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from credits import services
from credits.models import Offer
from generation.tests.cast import give, give_token, request

pytestmark = pytest.mark.django_db
SEARCHES = ["abc", "-1.5", "9" * 40, "nul \0 é%_'\"" + "x" * 5000]


@pytest.fixture
def staff() -> Client:
    """Signed in, on a site where something has happened."""
    now = timezone.now()
    user = get_user_model().objects.create_superuser("owner@example.com", "pw")
    account = services.open_account(user_id=user.pk, now=now)
    give(account, now)
    give_token(account, now)
    request(account, now)
    Offer.objects.create(
        slug="pack-50", name="50", kind="pack", credits=50, amount=500, currency="usd"
    )
    client = Client()
    client.force_login(user)
    return client


def page(model: type[Model], name: str, *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


def test_the_index(staff):
    assert staff.get(reverse("admin:index")).status_code == 200


@pytest.mark.parametrize("model", admin.site._registry, ids=lambda model: model._meta.label)
def test_lists_searches_and_rows(staff, model):
    listing = page(model, "changelist")
    assert staff.get(listing).status_code == 200
    for text in SEARCHES:
        assert staff.get(listing, {"q": text}).status_code in (200, 302), text
    assert staff.get(page(model, "add")).status_code in (200, 403)
    for name in ("change", "history", "delete"):
        assert staff.get(page(model, name, "abc")).status_code in (302, 403, 404), name
    row = model._default_manager.first()
    if row is not None:
        assert staff.get(page(model, "change", row.pk)).status_code == 200
        assert staff.get(page(model, "history", row.pk)).status_code == 200
        assert staff.get(page(model, "delete", row.pk)).status_code in (200, 403)


OBJECTS_OF_STRIPE = [model for model in admin.site._registry if model._meta.app_label == "djstripe"]


class TestObjectsOfStripe:
    """Staff looks at what dj-stripe keeps; nobody changes it or calls Stripe from here."""

    def test_are_those_that_a_billing_team_asks_for(self):
        assert {model.__name__ for model in OBJECTS_OF_STRIPE} == {
            "Charge", "Customer", "Dispute", "Event", "Invoice", "PaymentIntent", "Price",
            "Product", "Refund", "Subscription",
        }  # fmt: skip

    @pytest.mark.parametrize("content", [{}, {"status": "paid", "customer": {"id": "cus_1"}}])
    @pytest.mark.parametrize("model", OBJECTS_OF_STRIPE, ids=lambda model: model.__name__)
    def test_are_shown_whatever_they_lack(self, staff, model, content):
        row = make(model, content)
        listing = staff.get(page(model, "changelist"))
        assert listing.status_code == 200
        assert "xx_1" in listing.content.decode()
        assert staff.get(page(model, "changelist"), {"q": "xx_1"}).status_code == 200
        shown = staff.get(page(model, "change", row.pk))
        assert shown.status_code == 200
        assert all(name in shown.content.decode() for name in content)
        assert staff.get(page(model, "history", row.pk)).status_code == 200

    @pytest.mark.parametrize("model", OBJECTS_OF_STRIPE, ids=lambda model: model.__name__)
    def test_cannot_be_changed(self, staff, model):
        row = make(model, {})
        own = admin.site.get_model_admin(model)
        assert own.get_actions(staff.get(page(model, "changelist")).wsgi_request) == {}
        assert not [address for address in own.urls if "action" in str(address.pattern)]
        for name, *args in [("add",), ("change", row.pk), ("delete", row.pk)]:
            assert staff.post(page(model, name, *args), {"id": "xx_2"}).status_code == 403, name
        assert model.objects.get().id == "xx_1"


def make(model: type[Model], content: dict[str, object], stripe_id: str = "xx_1") -> Model:
    """A row as empty as its table allows."""
    needed: dict[str, object] = {}
    for field in model._meta.concrete_fields:
        if isinstance(field, ForeignKey) and not field.null:
            needed[field.name] = make(field.related_model, {}, "parent_1")
        elif field.name == "amount":
            needed["amount"] = 1
        elif field.name == "data":
            needed["data"] = {}
        elif field.name == "active":
            needed["active"] = True
    return model.objects.create(id=stripe_id, livemode=False, stripe_data=content, **needed)
