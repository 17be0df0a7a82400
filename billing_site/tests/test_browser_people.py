"""A person's account in a real browser: zone, second factor, leaving."""

import re
from typing import Any

import pytest

from billing_site.accounts.models import User
from billing_site.accounts.tests.test_two_factor import code
from billing_site.tests.test_browser import (
    EMAIL,
    PASSWORD,
    does_not_scroll_sideways,
    no_earlier_attempts,
    pytestmark,
    sign_up,
    visit,
)

pytest.importorskip("playwright", reason="playwright: pip install -r requirements-dev.txt")
from playwright.sync_api import Page, expect

__all__ = ["no_earlier_attempts", "pytestmark", "visit"]


def sign_out(page: Page) -> None:
    menu = page.locator("summary", has_text="Menu")  # on narrow screens
    (menu if menu.is_visible() else page.locator("summary", has_text="Account")).click()
    page.get_by_role("button", name="Sign out").click()


def sign_in(page: Page) -> None:
    page.goto("/accounts/login/")
    page.get_by_label("Email").fill(EMAIL)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Sign in").click()


def set_up_second_factor(page: Page) -> str:
    page.goto("/account/")
    page.get_by_role("link", name="Set up second factor").click()
    page.get_by_role("link", name="Set up an authenticator app").click()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("img")).to_be_visible()
    assert page.get_by_role("img").evaluate("image => image.naturalWidth") > 0
    page.get_by_text("I cannot scan it").click()
    secret = page.locator("#totp-secret").inner_text()
    page.get_by_label("Authenticator code").fill(code(secret))
    page.get_by_role("button", name="Activate").click()
    expect(page.locator("#recovery-codes li")).to_have_count(10)
    return secret


def leave(page: Page) -> None:
    page.goto("/account/")
    page.get_by_role("link", name="Delete my account").click()
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Delete my account for good").click()
    expect(page.get_by_role("heading", name="Your account is deleted")).to_be_visible()


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"viewport": {"width": 1280, "height": 800}}, id="desktop"),
        pytest.param(
            {"viewport": {"width": 360, "height": 740}, "java_script_enabled": False}, id="phone"
        ),
    ],
)
def test_a_person_sets_up_a_second_factor_signs_in_with_it_and_leaves(
    visit, options: dict[str, Any]
) -> None:
    page = visit(**options)
    sign_up(page)
    secret = set_up_second_factor(page)
    sign_out(page)
    sign_in(page)
    page.get_by_label("Code").fill(code(secret, steps=1))
    page.get_by_role("main").get_by_role("button", name="Sign in").click()
    expect(page.locator("#available")).to_have_text("0")
    leave(page)
    assert User.objects.get().erased_at is not None


def test_the_zone_of_the_browser_is_noticed_once_and_used(visit) -> None:
    page = visit(timezone_id="Asia/Tokyo")
    asked: list[str] = []
    page.on("request", lambda r: "/zone/notice/" in r.url and asked.append(r.method))
    with page.expect_response(re.compile("/account/zone/notice/")):
        sign_up(page)
    page.goto("/account/")
    expect(page.get_by_label("Time zone")).to_have_value("Asia/Tokyo")
    expect(page.get_by_text("JST")).to_be_visible()
    assert asked == ["POST"]


def test_no_account_page_scrolls_sideways_on_a_phone(visit) -> None:
    page = visit(viewport={"width": 360, "height": 740})
    sign_up(page)
    addresses = ["/account/", "/account/delete/", "/accounts/2fa/", "/accounts/email/"]
    for address in [*addresses, "/accounts/password/change/", "/accounts/reauthenticate/"]:
        page.goto(address)
        assert does_not_scroll_sideways(page), address
