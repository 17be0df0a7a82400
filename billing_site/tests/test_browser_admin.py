"""The admin in a real browser, under its Content-Security-Policy: all works, no other host."""

from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from billing_site.accounts.tests.cast import new_user
from billing_site.tests.test_browser import (
    no_earlier_attempts,
    pytestmark,
    visit,
)
from credits import drafts, services
from credits.pricing import Listed
from generation.tests.cast import give

pytest.importorskip("playwright", reason="playwright: pip install -r requirements-dev.txt")
from playwright.sync_api import Page, expect

__all__ = ["no_earlier_attempts", "pytestmark", "visit"]

PAGES = [
    "", "credits/account/", "credits/ledgerentry/?pool=bulk", "credits/offer/add/",
    "credits/promotionalcode/add/", "credits/inboxevent/", "accounts/user/", "accounts/user/add/",
    "auth/group/add/",
]  # fmt: skip


def enter(page: Page, user: Any) -> None:
    """With the session of a sign-in that was made elsewhere."""
    client = Client()
    client.force_login(user)
    value = client.cookies[settings.SESSION_COOKIE_NAME].value
    page.goto("/prices/")
    cookie = {"name": settings.SESSION_COOKIE_NAME, "value": value}
    page.context.add_cookies([{**cookie, "url": page.url.removesuffix("prices/")}])


def test_owners_work_without_breaking_the_policy(visit: Any) -> None:
    now = timezone.now()
    owner = new_user("owner@example.com", is_staff=True, is_superuser=True)
    ada = new_user()
    account = services.open_account(user_id=ada.pk, now=now)
    give(account, now)
    draft = drafts.save_draft(
        Listed("team", "Team", "plan", 9900, "usd", credits=500, interval="month"),
        actor="staff:a", now=now,
    )  # fmt: skip
    page: Page = visit()
    enter(page, owner)
    for path in PAGES:
        page.goto(f"/admin/{path}")
        expect(page.get_by_text("Credits, for staff").first).to_be_attached()

    page.goto(f"/admin/credits/offer/{draft.pk}/preview")
    expect(page.get_by_text("A preview: Team is a draft.")).to_be_visible()
    expect(page.get_by_text("$99.00")).to_be_visible()

    page.goto(f"/admin/accounts/user/{ada.pk}/erase")
    expect(page.get_by_text("10 credits and 0 single generations are lost.")).to_be_visible()

    page.goto("/admin/credits/adjustment/add/")
    page.get_by_label("Customer").fill(ada.email)
    page.get_by_role("button", name="Next").click()
    page.get_by_label("Pool").select_option("bulk")
    page.get_by_label("Credits").fill("7")
    page.get_by_label("In words").fill("a bad day")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("+7 bulk credits, then 17 there.")).to_be_visible()
    page.get_by_role("button", name="Do this").click()
    expect(page.get_by_text("Posted.")).to_be_visible()


def test_the_page_of_a_person_is_as_wide_as_a_small_laptop(visit: Any) -> None:
    """Two lists of groups side by side were not."""
    owner = new_user("owner@example.com", is_staff=True, is_superuser=True)
    ada = new_user()
    page: Page = visit(viewport={"width": 1280, "height": 800})
    enter(page, owner)
    page.goto(f"/admin/accounts/user/{ada.pk}/change/")
    expect(page.get_by_label("Support")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 1280
