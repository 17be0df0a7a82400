"""Who looks at the pages, and what has happened to them: every state that a page can show."""

import json
import time
from datetime import datetime
from typing import Any

from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.core import signing
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from billing_site.accounts.models import User
from billing_site.sandbox import demo, history
from billing_site.sandbox.stripe import Sandbox
from billing_site.sandbox.stripe.tests.conftest import GOOD, Browser
from credits import services as credits
from credits.models import CheckoutStart, InboxEvent, Notice, Subscription
from credits.notices import preferences
from credits.payments import checkout, inbox
from generation import services as generations
from generation.models import Generation

NEW_CUSTOMER = demo.Person("new@example.com", is_staff=False)
SUBSCRIBER = demo.Person("subscriber@example.com", is_staff=False)  # whose plan Stripe knows
SECURED = demo.Person("secured@example.com", is_staff=False)  # with a second factor
AT_THE_DOOR = demo.Person("door@example.com", is_staff=False)  # who has to enter its code now

PATIENCE_SECONDS = 15


def make_states(stripe: Sandbox) -> dict[str, str]:
    """Everybody, with a past; gives what the addresses of their pages need."""
    now = timezone.now()
    call_command("init_pricing", verbosity=0)
    history.make(now=now)
    Subscription.objects.update(status="past_due")
    demo.make(NEW_CUSTOMER)
    for person in (SECURED, AT_THE_DOOR):
        _add_second_factor(demo.make(person))
    customer, subscriber = (_account(person, now) for person in (demo.CUSTOMER, SUBSCRIBER))
    token = signing.dumps([customer, Notice.Kind.RENEWAL], salt=preferences.SALT)
    return {
        "token": token,
        "arrived": _buy_a_plan(subscriber, stripe),
        "unconfirmed": _told(subscriber, "unconfirmed", now),
        "arriving": _told(subscriber, "arriving", now, completed="paid"),
        "processing": _told(subscriber, "processing", now, completed="unpaid"),
        "unpaid": _told(subscriber, "unpaid", now, async_payment_failed="unpaid"),
        **_generations(customer, now),
    }


def session_of(person: demo.Person, address: str) -> Any:
    """The cookie of somebody who has just signed in."""
    client = Client()
    if person == AT_THE_DOOR:
        client.post("/accounts/login/", {"login": person.email, "password": demo.PASSWORD})
    else:
        client.force_login(User.objects.get(email=person.email))
        client.post("/accounts/reauthenticate/", {"password": demo.PASSWORD})
    return {"name": "sessionid", "value": client.cookies["sessionid"].value, "url": address}


def _account(person: demo.Person, now: datetime) -> int:
    return credits.open_account(user_id=demo.make(person).pk, now=now).pk


def _add_second_factor(user: User) -> None:
    TOTP.activate(user, generate_totp_secret())
    RecoveryCodes.activate(user)


def _buy_a_plan(account_id: int, stripe: Sandbox) -> str:
    """At the sandbox, and its events are applied; gives the session."""
    now = timezone.now()
    page = checkout.start(
        account_id=account_id, offer_slug="starter", quantity=1, click_key="plan", now=now
    )
    Browser().open(page).press("action", "pay", card=GOOD)
    assert stripe.wait_until_delivered(PATIENCE_SECONDS)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while InboxEvent.objects.exclude(next_attempt_at=None).exists():
        assert time.monotonic() < deadline
        inbox.apply_due(now=timezone.now())
    return CheckoutStart.objects.get(click_key="plan").session_id


def _told(account_id: int, name: str, now: datetime, **events: str) -> str:
    """A purchase of which these events have come; gives its session."""
    session_id = f"cs_{name}"
    CheckoutStart.objects.create(
        account_id=account_id, click_key=name, offer="pack-50", quantity=1,
        session_id=session_id, created_at=now,
    )  # fmt: skip
    for kind, payment_status in events.items():
        session = {"id": session_id, "payment_status": payment_status}
        InboxEvent.objects.create(
            event_id=f"evt_{name}", type=f"checkout.session.{kind}", object_id=session_id,
            body=json.dumps({"data": {"object": session}}),
            created_at=now, received_at=now, next_attempt_at=now,
        )  # fmt: skip
    return session_id


def _generations(account_id: int, now: datetime) -> dict[str, str]:
    """One in each state."""
    found = {row.status: str(row.pk) for row in Generation.objects.all()}
    single = _request(account_id, now, Generation.Funding.RETAIL)
    claimed = generations.claim(now=now, generation_id=single.pk)
    assert claimed is not None
    generations.succeed(
        claimed=claimed, output="Final.", model="m", input_tokens=1, output_tokens=1, now=now
    )
    canceled = _request(account_id, now)
    generations.cancel(generation=canceled, now=now)
    queued = _request(account_id, now)
    return found | {
        "single": str(single.pk), "canceled": str(canceled.pk), "queued": str(queued.pk)
    }  # fmt: skip


def _request(
    account_id: int, now: datetime, funding: Generation.Funding = Generation.Funding.CREDITS
) -> Generation:
    return generations.request_generation(
        account_id=account_id, prompt="A story.", funding=funding, operation="text", now=now
    )[0]
