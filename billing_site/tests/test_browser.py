"""A customer's first minutes, in a real browser: sign up, generate, watch, read the balance."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.core import mail
from django.core.cache import cache
from django.utils import timezone

from billing_site.accounts.models import User
from billing_site.tests.working import worker
from credits import queries, services
from credits.models import Pool

pytest.importorskip("playwright", reason="playwright: pip install -r requirements-dev.txt")
pytest.importorskip("pytest_playwright", reason="playwright: pip install -r requirements-dev.txt")
from playwright.sync_api import BrowserContext, Page, expect

EMAIL, PASSWORD = "ada@example.com", "seven-plain-words-92"

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def no_earlier_attempts() -> None:
    cache.clear()


@pytest.fixture
def visit(new_context, live_server, hosts) -> Iterator[Any]:
    """Opens a page; at the end nothing was complained about, and no other host was asked."""
    complaints: list[str] = []

    def open_page(**options: Any) -> Page:
        context: BrowserContext = new_context(base_url=live_server.url, **options)
        page = context.new_page()
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda r: r.url.startswith(tuple(hosts)) or complaints.append(r.url))
        return page

    yield open_page
    assert complaints == []


def sign_up(page: Page) -> None:
    page.goto("/")
    page.get_by_role("main").get_by_role("link", name="Sign up").click()
    page.get_by_label("Email").fill(EMAIL)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign up").click()
    expect(page.get_by_role("heading", name="Enter email verification code")).to_be_visible()
    code = re.search(r"^\s*([A-Z0-9-]{6,12})\s*$", mail.outbox[-1].body, re.M)
    assert code, mail.outbox[-1].body
    page.get_by_label("Code").fill(code[1])
    page.get_by_role("button", name="Confirm").click()
    expect(page.locator("#available")).to_have_text("0")


def give(amount: int) -> int:
    now = timezone.now()
    account = services.open_account(user_id=User.objects.get(email=EMAIL).pk, now=now)
    services.grant(
        account_id=account.pk, pool=Pool.BULK, amount=amount, source_key="gift:1", now=now
    )
    return account.pk


def request_generation(page: Page) -> None:
    page.goto("/")
    page.get_by_role("link", name="New generation").click()
    expect(page.get_by_text("Costs 1 credit; you have 50.")).to_be_visible()
    page.get_by_label("What should be written?").fill("A story\nabout a ledger.")
    page.get_by_role("button", name="Generate").dblclick()


def watch_it_grow(page: Page, full_text: str) -> None:
    output = page.locator("#output")
    growing = page.locator("#output[aria-busy=true]")
    expect(growing).to_contain_text("Once", timeout=15_000)
    part = growing.inner_text().strip()
    assert full_text.startswith(part)
    assert len(part) < len(full_text)
    expect(page.locator("#status")).to_have_text("Done", timeout=15_000)
    expect(output).to_have_text(full_text)


def read_the_balance(page: Page, account_id: int) -> None:
    menu = page.locator("summary", has_text="Menu")
    if menu.is_visible():
        menu.click()
    page.get_by_role("link", name="Overview").click()
    expect(page.locator("#available")).to_have_text("49")
    expect(page.get_by_text("Taken for work")).to_have_count(1)
    assert queries.balance(account_id=account_id, now=timezone.now()).available == 49
    assert list(queries.find_imbalances()) == []


def does_not_scroll_sideways(page: Page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"viewport": {"width": 1280, "height": 800}}, id="desktop"),
        pytest.param({"viewport": {"width": 360, "height": 740}, "has_touch": True}, id="phone"),
        pytest.param({"java_script_enabled": False}, id="without JavaScript"),
        pytest.param({"color_scheme": "dark"}, id="dark"),
    ],
)
def test_a_new_customer_generates_and_reads_the_balance(visit, options: dict[str, Any]) -> None:
    page = visit(**options)
    sign_up(page)
    account_id = give(50)
    with worker(seconds_per_word=0.3) as model:
        request_generation(page)
        watch_it_grow(page, model.text)
        assert model.requests == 1
    read_the_balance(page, account_id)


def test_no_page_scrolls_sideways_on_a_phone(visit) -> None:
    page = visit(viewport={"width": 360, "height": 740})
    sign_up(page)
    give(1_000_000_000)
    with worker():
        page.goto("/generations/new/")
        page.get_by_label("What should be written?").fill("x" * 2000)
        page.get_by_role("button", name="Generate").click()
        expect(page.locator("#status")).to_have_text("Done", timeout=15_000)
    addresses = ["/", "/ledger/", "/generations/", "/generations/new/", "/api-keys/", "/prices/"]
    assert does_not_scroll_sideways(page), page.url
    addresses += ["/statement/print/", "/statement/balance/", "/statement/verify/", "/purchases/"]
    for address in [*addresses, "/accounts/email/", "/accounts/password/change/"]:
        page.goto(address)
        assert does_not_scroll_sideways(page), address


def test_the_keyboard_finds_the_content_and_the_account_menu(visit) -> None:
    page = visit()
    sign_up(page)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()
    page.locator("summary", has_text="Account").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="API keys")).to_be_visible()


def test_the_menu_of_a_phone_opens_and_closes_by_keyboard(visit) -> None:
    page = visit(viewport={"width": 360, "height": 740})
    sign_up(page)
    menu = page.locator("summary", has_text="Menu")
    menu.press("Enter")
    expect(page.get_by_role("link", name="Statement")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Statement")).to_be_hidden()
    expect(menu).to_be_focused()


def test_the_prompt_is_counted_and_the_result_copied(visit) -> None:
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    sign_up(page)
    give(5)
    page.goto("/generations/new/")
    page.get_by_label("What should be written?").fill("A story.")
    expect(page.get_by_text("8 / 8,000")).to_be_visible()
    with worker() as model:
        page.get_by_role("button", name="Generate").click()
        page.get_by_role("button", name="Copy").click(timeout=15_000)
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == model.text
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as text").click()
    assert download.value.suggested_filename.endswith(".txt")


def test_the_api_page_describes_the_calls(visit) -> None:
    page = visit()
    page.goto("/api/v1/docs/")
    expect(page.get_by_text("/api/v1/balance")).to_be_visible()
