"""The staff's pages on a phone: they fit, axe finds nothing serious by day and by night, and the
keyboard opens what the mouse opens."""

from typing import Any

import pytest
from django.utils import timezone

from billing_site.sandbox import demo, history
from billing_site.tests.cast import session_of
from billing_site.tests.test_accessibility import OUTLINE, PHONE, pytestmark, serious_faults, states
from billing_site.tests.test_browser import no_earlier_attempts
from credits.models import Account, Offer, Payment

pytest.importorskip("playwright", reason="playwright: pip install -r requirements-dev.txt")
from playwright.sync_api import Page, expect

__all__ = ["no_earlier_attempts", "pytestmark", "states"]

PAGES = [
    "",
    "credits/account/",
    "credits/account/{customer}/change/",
    "credits/account/{customer}/change/?at=2026-01-31T10:00",
    "credits/account/{customer}/explain",
    "credits/account/{customer}/what-if",
    "credits/account/{customer}/freeze",
    "credits/adjustment/",  # empty
    "credits/adjustment/add/?account={customer}&kind=grant",
    "credits/ledgerentry/",
    "credits/ledgerentry/?q=nobody@example.com",
    "credits/inboxevent/{event}/change/",
    "credits/inboxevent/{event}/dry-run",
    "credits/offer/add/",
    "credits/offer/{draft}/change/",
    "credits/offer/{draft}/preview",
    "credits/promotionalcode/add/",
    "credits/payment/{payment}/change/",
    "credits/payment/{payment}/refund",
    "accounts/user/{person}/change/",
    "accounts/user/{person}/erase",
    "nowhere/",
]


@pytest.fixture
def owner(new_context: Any, live_server: Any, states: dict[str, str]) -> Page:
    """At the desk, with a phone."""
    context = new_context(base_url=live_server.url, viewport=PHONE, reduced_motion="reduce")
    demo.make(demo.STAFF)
    context.add_cookies([session_of(demo.STAFF, live_server.url)])
    page: Page = context.new_page()
    return page


def addresses() -> list[str]:
    now = timezone.now()
    customer = Account.objects.get(user__email=demo.CUSTOMER.email)
    rows = {
        "customer": customer.pk,
        "person": customer.user_id,
        "event": history.refund_part(now=now).pk,
        "draft": history.draft_plan(now=now).pk,
        "payment": Payment.objects.get(payment_intent="pi_b7Qw2k").pk,
    }
    assert Offer.objects.filter(draft=False).exists(), "a page of prices to preview"
    return [f"/admin/{path.format(**rows)}" for path in PAGES]


def test_pages_fit_a_phone_and_have_no_serious_fault_by_day_or_by_night(owner: Page) -> None:
    wrong: dict[str, Any] = {}
    for address in addresses():
        owner.emulate_media(color_scheme="light")
        owner.goto(address)
        outline = owner.evaluate(OUTLINE)
        faults = serious_faults(owner)
        owner.emulate_media(color_scheme="dark")  # which differs in its colours only
        owner.evaluate("document.documentElement.classList.add('dark')")  # unfold asks once a page
        faults += serious_faults(owner, runOnly=["color-contrast"])
        if faults or outline["headings"] != 1 or outline["beyond"] > 0:
            wrong[address] = faults, outline
    assert wrong == {}


def test_the_keyboard_opens_menu_filters_actions_and_what_is_behind_the_name(owner: Page) -> None:
    owner.goto("/admin/credits/account/")
    for opener, opened in [
        (
            owner.get_by_role("button", name="Filters"),
            owner.get_by_role("heading", name="By status"),
        ),
        (
            owner.get_by_role("button", name="Menu"),
            owner.get_by_role("link", name="Ledger entries"),
        ),
        (
            owner.get_by_role("button", name=demo.STAFF.email),
            owner.get_by_role("button", name="Log out"),
        ),
    ]:
        expect(opened).not_to_be_in_viewport()
        opener.locator("visible=true").press("Enter")
        expect(opened).to_be_visible()
        owner.keyboard.press("Escape")
