"""Nothing jumps about on a page while it loads and while its parts are replaced."""

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from billing_site.sandbox import demo
from billing_site.tests.cast import NEW_CUSTOMER, session_of
from billing_site.tests.test_accessibility import PHONE, Walk, pytestmark, states, walk
from billing_site.tests.working import worker
from credits import services as credits
from generation.tests.cast import give

pytest.importorskip("playwright", reason="playwright: pip install -r requirements-dev.txt")
from playwright.sync_api import BrowserContext, Route, expect

from billing_site.tests import layout

__all__ = ["pytestmark", "states", "walk"]

MOST_SHIFT = 0.02  # a fifth of what is called good
SIZES = pytest.mark.parametrize(
    "viewport", [PHONE, {"width": 1280, "height": 800}], ids=["phone", "desktop"]
)
STORY = "\n\n".join(["Once upon a time a ledger balanced, and everyone slept well. " * 3] * 4)
PAINTED = """() => performance.getEntriesByName("first-contentful-paint").length > 0"""
FONT_WAS_LATE = """() => {
  const [painted] = performance.getEntriesByName("first-contentful-paint");
  const fonts = performance.getEntriesByType("resource").filter(({ name }) => /woff2$/.test(name));
  return fonts.length > 0 && fonts.every((font) => font.responseEnd > painted.startTime);
}"""
LATE = """document.querySelector("p").before(
  Object.assign(document.createElement("div"), { style: "height: 300px" }))"""


@pytest.fixture
def new_context(new_context) -> Callable[..., BrowserContext]:
    """Somebody's browser in which shifts are noted and the font is there after the text."""

    def make(**options: Any) -> BrowserContext:
        context = new_context(**options)
        layout.observe(context)
        context.route("**/*.woff2", after_the_text)
        return context

    return make


def after_the_text(route: Route) -> None:
    """Every time: a routed request is not cached."""
    route.request.frame.wait_for_function(PAINTED)
    route.continue_()


@SIZES
def test_nothing_shifts_while_a_page_loads(walk: Walk, viewport: dict[str, int]) -> None:
    jumping = {}
    for name, page, _loaded in walk.pages(viewport=viewport):
        found = layout.shifts(page)
        assert page.evaluate(FONT_WAS_LATE), name
        if layout.total(found) >= MOST_SHIFT:
            jumping[name] = found
    assert jumping == {}


@SIZES
def test_nothing_shifts_while_a_text_is_written(
    new_context, live_server, viewport: dict[str, int]
) -> None:
    user = demo.make(NEW_CUSTOMER)
    account = credits.open_account(user_id=user.pk, now=timezone.now())
    give(account, timezone.now())
    context = new_context(base_url=live_server.url, viewport=viewport)
    context.add_cookies([session_of(NEW_CUSTOMER, live_server.url)])
    page = context.new_page()
    page.goto("/generations/new/")
    page.get_by_label("What should be written?").fill("A story about a ledger.")
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_text("Waiting for a free worker.")).to_be_visible()
    with worker(text=STORY, seconds_per_word=0.05):
        expect(page.locator("#output[aria-busy=true]")).to_be_visible(timeout=15_000)
        expect(page.locator("#status")).to_have_text("Done", timeout=30_000)
    found = layout.shifts(page)
    assert layout.total(found) < MOST_SHIFT, found


def test_a_part_that_comes_late_is_seen_to_shift_the_page(new_context) -> None:
    page = new_context(viewport=PHONE).new_page()
    page.goto("data:text/html,<main><p>First</p><p>Second</p></main>")
    assert layout.total(layout.shifts(page)) == 0
    page.evaluate(LATE)
    assert layout.total(layout.shifts(page)) > MOST_SHIFT
