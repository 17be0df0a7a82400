"""manage.py setup_stripe: the webhook endpoint and the portal, made once and kept in line."""

import pytest
import stripe
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.utils import timezone

from billing_site.sandbox.stripe.tests.conftest import KEY
from credits import services
from credits.payments import endpoint, portal, portal_settings
from credits.payments.rules import RULES
from credits.tests.commands import run_command

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def site(settings, sandbox):
    settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE = KEY, sandbox.address
    settings.SITE_URL = "https://pay.example.com"
    settings.IS_PUBLIC = True


def endpoints(client):
    return client.v1.webhook_endpoints.list().data


def made_by_hand(client, **changes):
    return client.v1.webhook_endpoints.create(
        {
            "url": "https://pay.example.com/stripe/webhook/",
            "enabled_events": endpoint.EVENTS,
            "api_version": stripe.api_version,
            **changes,
        }
    )


class TestTheFirstRun:
    def test_makes_an_endpoint_and_shows_its_secret_once(self, client, caplog):
        done = run_command("setup_stripe")
        (made,) = endpoints(client)
        assert made.url == "https://pay.example.com/stripe/webhook/"
        assert made.api_version == stripe.api_version
        assert set(RULES) < set(made.enabled_events)
        assert "invoice.created" not in made.enabled_events
        assert done.output.count("STRIPE_WEBHOOK_SECRET=whsec_") == 1
        assert "whsec_" not in caplog.text
        assert done.summary == "Stripe is set up."

    def test_asks_only_for_events_that_stripe_has(self):
        known = stripe.params.WebhookEndpointCreateParams.__annotations__["enabled_events"]
        assert [name for name in endpoint.EVENTS if f"'{name}'" not in str(known)] == []

    def test_makes_a_portal_without_changes_of_plan_and_the_site_uses_it(self, client, sandbox):
        run_command("setup_stripe")
        made = portal_settings.find(client)
        assert not made.features.subscription_update.enabled
        assert made.features.subscription_cancel.mode == "at_period_end"
        user = get_user_model().objects.create_user("ann@example.com")
        account = services.open_account(user_id=user.pk, now=timezone.now())
        customer = client.v1.customers.create({"email": user.email})
        services.link_customer(account_id=account.pk, customer_id=customer.id, now=timezone.now())
        portal.open_portal(account_id=account.pk)
        (session,) = sandbox.store.find("billing_portal.session")
        assert session["configuration"] == made.id


class TestTheSecondRun:
    def test_changes_nothing(self, client):
        run_command("setup_stripe")
        before = [row.to_dict() for row in endpoints(client)]
        done = run_command("setup_stripe")
        assert (done.output, done.errors) == ("Nothing to change.\n", "")
        assert [row.to_dict() for row in endpoints(client)] == before
        assert (
            "Stripe is set up: events go to https://pay"
            in run_command("setup_stripe", "--check").summary
        )

    def test_brings_in_line_what_somebody_has_changed(self, client):
        run_command("setup_stripe")
        (made,) = endpoints(client)
        client.v1.webhook_endpoints.update(
            made.id, {"enabled_events": ["invoice.paid", "invoice.created"], "disabled": True}
        )
        configuration = portal_settings.find(client)
        client.v1.billing_portal.configurations.update(
            configuration.id, {"features": {"subscription_update": {"enabled": True}}}
        )
        checked = run_command("setup_stripe", "--check")
        assert "deviations" in checked.refusal
        assert f"{made.id} is disabled." in checked.output
        assert f"{made.id} does not send charge.dispute.closed" in checked.output
        assert f"{made.id} sends invoice.created, which nobody needs." in checked.output
        assert "differs in features.subscription_update.enabled" in checked.output
        assert run_command("setup_stripe").summary == "Stripe is set up."
        assert run_command("setup_stripe", "--check").refusal == ""


class TestAWrongVersion:
    def test_is_replaced_beside_the_old_endpoint(self, client):
        old = made_by_hand(client, api_version="2025-02-24.acacia")
        done = run_command("setup_stripe")
        assert "cannot be changed: --replace makes a new one" in done.errors
        assert [row.id for row in endpoints(client)] == [old.id]
        done = run_command("setup_stripe", "--replace")
        assert "STRIPE_WEBHOOK_SECRET=whsec_" in done.output
        assert f"manage.py setup_stripe --delete {old.id}" in done.output
        assert f"{old.id} is a second endpoint" in run_command("setup_stripe", "--check").output
        assert run_command("setup_stripe", "--delete", old.id).summary == f"{old.id} is deleted."
        assert run_command("setup_stripe", "--check").refusal == ""
        assert run_command("setup_stripe", "--replace").summary == "Nothing to change."

    def test_the_only_endpoint_is_not_deleted(self, client):
        made = made_by_hand(client)
        refusal = run_command("setup_stripe", "--delete", made.id).refusal
        assert "is no second endpoint" in refusal
        assert len(endpoints(client)) == 1


def test_several_endpoints_for_the_address_are_warned_of(client):
    first, second = made_by_hand(client), made_by_hand(client)
    warned = run_command("setup_stripe").errors
    assert f"{first.id} is a second" in warned or f"{second.id} is a second" in warned


def test_endpoints_of_other_sites_are_left_alone(client):
    other = made_by_hand(client, url="https://other.example.com/", enabled_events=["*"])
    run_command("setup_stripe")
    assert len(endpoints(client)) == 2
    assert client.v1.webhook_endpoints.retrieve(other.id).enabled_events == ["*"]


def test_an_http_site_is_refused_with_a_live_key(settings, client):
    settings.STRIPE_LIVE_MODE, settings.IS_PUBLIC = True, False
    settings.SITE_URL = "http://pay.example.com"
    assert "has to be the site's public https address" in run_command("setup_stripe").refusal
    assert endpoints(client) == []


def test_without_a_key_says_so(settings):
    settings.STRIPE_SECRET_KEY = ""
    with pytest.raises(CommandError, match="STRIPE_SECRET_KEY is not set"):
        call_command("setup_stripe", "--check")


def test_two_wishes_at_once_are_refused():
    with pytest.raises(CommandError, match="not allowed with"):
        call_command("setup_stripe", "--check", "--replace")
