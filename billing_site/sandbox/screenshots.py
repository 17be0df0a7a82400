"""The pictures in docs/screenshots/: `manage.py screenshots`."""

import io
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management import call_command
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.utils import timezone

from billing_site.sandbox import demo, history
from billing_site.sandbox.shop import open_shop
from credits.payments import inbox
from generation import services as generations

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, ViewportSize

DESKTOP: "ViewportSize" = {"width": 1280, "height": 840}
PHONE: "ViewportSize" = {"width": 390, "height": 844}
DATABASE = "billing_site_screenshots"


class NoBrowser(Exception):
    """Chromium or Playwright is missing; the message says what to install."""


@dataclass(frozen=True)
class Picture:
    """What is on it and how it is looked at."""

    name: str
    path: str
    person: demo.Person | None = demo.CUSTOMER  # None: somebody who is not signed in
    on_a_phone_at_night: bool = False
    prepare: Callable[["Page"], None] = lambda page: None


def _write_prompt(page: "Page") -> None:
    page.get_by_label("What should be written?").fill(history.NEXT_PROMPT)


def _open_newest(page: "Page") -> None:
    page.locator("main a[href*='/generations/']:not([href$='/new/'])").first.click()
    page.wait_for_load_state()


def _let_a_worker_work(page: "Page") -> None:
    inbox.apply_due(now=timezone.now())
    generations.report_worker(name="worker", now=timezone.now())
    page.reload()


def _open_customer(page: "Page") -> None:
    page.locator("#result_list tbody a").first.click()
    page.get_by_role("heading", name="What happened").wait_for()


def _preview_adjustment(page: "Page") -> None:
    page.get_by_label("Customer").fill(demo.CUSTOMER.email)
    page.get_by_role("button", name="Next").click()
    page.get_by_label("Pool").select_option(label="Bulk")
    page.get_by_label("Credits").fill("10")
    page.get_by_label("In words").fill("The text was cut off")
    page.get_by_role("button", name="Preview").click()
    page.get_by_role("button", name="Do this").wait_for()


def _try_out_event(page: "Page") -> None:
    event = history.refund_part(now=timezone.now())
    page.goto(f"{page.url}{event.pk}/dry-run")


def _preview_offer(page: "Page") -> None:
    draft = history.draft_plan(now=timezone.now())
    page.goto(f"{page.url}{draft.pk}/preview")


PICTURES = [
    Picture("landing", "/", person=None),
    Picture("dashboard", "/"),
    Picture("prices", "/prices/"),
    Picture("subscription", "/subscription/"),
    Picture("new-generation", "/generations/new/", prepare=_write_prompt),
    Picture("generation", "/generations/", prepare=_open_newest),
    Picture("statement", "/ledger/"),
    Picture("purchases", "/purchases/"),
    Picture("settings", "/account/"),
    Picture("dashboard-phone-dark", "/", on_a_phone_at_night=True),
    Picture("admin", "/admin/", person=demo.STAFF, prepare=_let_a_worker_work),
    Picture("admin-customer", "/admin/credits/account/", person=demo.STAFF, prepare=_open_customer),
    Picture("admin-ledger", "/admin/credits/ledgerentry/", person=demo.STAFF),
    Picture(
        "admin-adjustment",
        "/admin/credits/adjustment/add/",
        person=demo.STAFF,
        prepare=_preview_adjustment,
    ),
    Picture(
        "admin-dry-run",
        "/admin/credits/inboxevent/",
        person=demo.STAFF,
        prepare=_try_out_event,
    ),
    Picture("admin-offer", "/admin/credits/offer/", person=demo.STAFF, prepare=_preview_offer),
]


def take_all(directory: Path) -> list[Path]:
    """Every picture, on a site with two months of history. Raises NoBrowser."""
    directory.mkdir(parents=True, exist_ok=True)
    with _chromium() as browser, _site() as address:
        return [_take(picture, browser, address, directory) for picture in PICTURES]


@contextmanager
def _chromium() -> Iterator["Browser"]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise NoBrowser("Playwright is missing: pip install -r requirements-dev.txt.") from None
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise NoBrowser("Chromium is missing: apt install chromium.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def _site() -> Iterator[str]:
    """A web server on a database of its own; gives its address."""
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # Playwright runs a loop in this thread
    name = connection.settings_dict["NAME"]
    scratch = (
        settings.VAR_DIR / f"{DATABASE}.sqlite3" if connection.vendor == "sqlite" else DATABASE
    )
    connection.settings_dict["TEST"]["NAME"] = scratch
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        server = ThreadedWSGIServer(("127.0.0.1", 0), _QuietHandler, connections_override=None)
        address = f"http://127.0.0.1:{server.server_port}"
        with tempfile.TemporaryDirectory() as folder, open_shop(address, Path(folder) / "stripe"):
            call_command("init_pricing", stdout=io.StringIO())
            history.make(now=timezone.now())
            server.set_app(get_wsgi_application())
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield address
            server.shutdown()
            server.server_close()
    finally:
        connection.creation.destroy_test_db(name, verbosity=0)


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


def _take(picture: Picture, browser: "Browser", address: str, directory: Path) -> Path:
    context = browser.new_context(
        base_url=address,
        viewport=PHONE if picture.on_a_phone_at_night else DESKTOP,
        color_scheme="dark" if picture.on_a_phone_at_night else "light",
        locale="en-GB",
        timezone_id="UTC",
    )
    page = context.new_page()
    if picture.person:
        _sign_in(page, picture.person, picture.path)
    page.goto(picture.path)  # without "signed in"
    picture.prepare(page)
    page.evaluate("document.activeElement.blur()")
    path = directory / f"{picture.name}.png"
    page.screenshot(path=path, animations="disabled")
    context.close()
    return path


def _sign_in(page: "Page", person: demo.Person, path: str) -> None:
    page.goto(f"/accounts/login/?next={path}")
    page.get_by_label("Email").fill(person.email)
    page.get_by_label("Password").fill(demo.PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"**{path}")
