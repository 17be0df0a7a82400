"""Every page, on a phone, by day and by night: nothing that axe calls serious, and little to load.

A new page is one more line in PAGES.
"""

import gzip
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.urls import URLPattern, URLResolver, get_resolver, resolve

from billing_site.sandbox import demo
from billing_site.sandbox.shop import open_shop
from billing_site.tests.cast import (
    AT_THE_DOOR,
    NEW_CUSTOMER,
    SECURED,
    SUBSCRIBER,
    make_states,
    session_of,
)
from generation.tests.pages import NO_SUCH_ID

pytest.importorskip("playwright", reason="playwright: pip install -r requirements-dev.txt")
pytest.importorskip("pytest_playwright", reason="playwright: pip install -r requirements-dev.txt")
pytest.importorskip("axe_playwright_python", reason="axe: pip install -r requirements-dev.txt")
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Response

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("billing_site.tests.test_error_pages"),  # which has one page of each error
]

PHONE = {"width": 360, "height": 740}
MOST_BYTES = 100_000  # beside the font, with static files compressed as a public site sends them

PAGES = {  # who looks at what. {failed} and the like are what cast.make_states() gives.
    demo.CUSTOMER: [
        "/",
        "/prices/",
        "/subscription/",
        "/subscription/cancel/",
        "/ledger/",
        "/ledger/?pool=bulk",
        "/statement/print/",
        "/statement/balance/",
        "/statement/verify/",
        "/purchases/",
        "/notifications/",
        "/redeem/",
        "/account/",
        "/account/delete/",
        "/accounts/2fa/",
        "/accounts/2fa/totp/activate/",
        "/accounts/reauthenticate/",
        "/generations/",
        "/generations/?text=nowhere",
        "/generations/new/",
        "/generations/{succeeded}/",
        "/generations/{failed}/",
        "/generations/{canceled}/",
        "/generations/{queued}/",
        "/generations/{single}/",
        "/api-keys/",
        "/accounts/email/",
        "/accounts/password/change/",
        "/purchases/canceled/",
        "/notifications/off/{token}/",
        "/accounts/logout/",
        "/nowhere/",
    ],
    NEW_CUSTOMER: [
        "/",
        "/ledger/",
        "/purchases/",
        "/subscription/",
        "/generations/",
        "/generations/new/",
        "/prices/",
    ],
    SUBSCRIBER: [
        "/subscription/",
        "/subscription/change/?offer=pro",
        "/subscription/cancel/",
        "/prices/",
        "/purchases/",
        "/purchases/done/?session_id={arrived}",
        "/purchases/done/?session_id={unconfirmed}",
        "/purchases/done/?session_id={arriving}",
        "/purchases/done/?session_id={processing}",
        "/purchases/done/?session_id={unpaid}",
    ],
    SECURED: [
        "/accounts/2fa/",
        "/accounts/2fa/recovery-codes/",
        "/accounts/2fa/recovery-codes/generate/",
        "/accounts/2fa/totp/deactivate/",
        "/accounts/2fa/reauthenticate/",
    ],
    AT_THE_DOOR: ["/accounts/2fa/authenticate/"],
    None: [
        "/",
        "/prices/",
        "/statement/verify/",
        "/accounts/login/",
        "/accounts/signup/",
        "/accounts/password/reset/",
        "/accounts/password/reset/done/",
        "/accounts/password/reset/key/done/",
        "/accounts/inactive/",
        "/bad/",
        "/forbidden/",
        "/csrf/",
        "/many/",
        "/broken/",
    ],
}

NO_PAGES = {
    "account_email_verification_sent", "account_confirm_login_code",  # only after another page
    "account_reset_password_from_key", "account_set_password",
    "purchase-progress", "generation:progress",  # parts of pages
    "statement-csv", "statement-json", "generation:download", "accounts:export",  # files
    "mfa_download_recovery_codes",
    "accounts:choose_zone", "accounts:notice_zone", "accounts:api_key_revoke",  # forms
    "buy", "subscription-resume", "manage-subscription", "generation:cancel",
    "generation:regenerate", "subscription-pay",
    "stripe-webhook", "healthz", "readyz", "schema",  # for programs
    "api-docs",  # Swagger UI's
}  # fmt: skip

OUTLINE = """() => ({
  title: document.title,
  language: document.documentElement.lang,
  headings: document.querySelectorAll("h1").length,
  beyond: document.documentElement.scrollWidth - innerWidth,
})"""


@pytest.fixture
def states(live_server, tmp_path) -> Iterator[dict[str, str]]:
    with open_shop(live_server.url, tmp_path / "stripe.json") as stripe:
        yield make_states(stripe)


@dataclass
class Walk:
    """Goes through all pages, each as who looks at it."""

    new_context: Callable
    address: str
    states: dict[str, str]

    def pages(self, **options: Any) -> Iterator[tuple[str, Page, list[Response]]]:
        options = {"viewport": PHONE, **options}
        for person, paths in PAGES.items():
            context = self.new_context(base_url=self.address, **options)
            if person:
                context.add_cookies([session_of(person, self.address)])
            page, loaded = context.new_page(), []
            page.on("response", lambda response, to=loaded: to.append(response))
            for path in (path.format(**self.states) for path in paths):
                loaded.clear()
                page.goto(path)
                assert page.url == self.address + path
                yield f"{path} for {person.email if person else 'everybody'}", page, loaded


@pytest.fixture
def walk(new_context, live_server, states) -> Walk:
    return Walk(new_context, live_server.url, states)


@dataclass
class Look:
    """What a page showed to somebody with a phone."""

    outline: dict[str, Any]
    hosts: set[str]
    weights: dict[str, int]  # of what was loaded, in bytes
    faults: list[str]


@pytest.fixture(scope="session")
def album() -> dict[str, Look]:
    return {}


@pytest.fixture
def looks(album: dict[str, Look], request: pytest.FixtureRequest) -> dict[str, Look]:
    """Every page, gone through once for all the tests that ask."""
    if not album:
        walk = request.getfixturevalue("walk")
        pages = walk.pages(reduced_motion="reduce")
        album.update({name: look_at(page, loaded) for name, page, loaded in pages})
    return album


def look_at(page: Page, loaded: list[Response]) -> Look:
    hosts = {urlsplit(response.url).netloc for response in loaded}
    weights = {response.url: weight(response) for response in list(loaded)}
    outline = page.evaluate(OUTLINE)
    page.emulate_media(color_scheme="light")
    faults = serious_faults(page)
    page.emulate_media(color_scheme="dark")  # which differs in its colours only
    faults += serious_faults(page, runOnly=["color-contrast"])
    return Look(outline, hosts, weights, faults)


def test_every_page_is_in_the_table() -> None:
    sample = defaultdict(lambda: NO_SUCH_ID)
    addresses = [path.format_map(sample) for paths in PAGES.values() for path in paths]
    shown = {resolve(urlsplit(path).path).view_name for path in addresses if path != "/nowhere/"}
    assert set(names(get_resolver())) - shown - NO_PAGES == set()


def names(resolver: URLResolver, space: str = "") -> Iterator[str]:
    """Of every address for customers, as reverse() wants them."""
    for part in resolver.url_patterns:
        if isinstance(part, URLPattern):
            if part.name:
                yield space + part.name
        elif part.namespace != "admin" and not str(part.pattern).startswith("api/"):
            yield from names(part, f"{part.namespace}:" if part.namespace else space)


def test_every_page_has_a_title_a_heading_and_a_language_and_fits_a_phone(looks) -> None:
    for name, look in looks.items():
        assert look.outline["title"].partition("·")[0].strip(), name
        assert (look.outline["headings"], look.outline["language"]) == (1, "en"), name
        assert look.outline["beyond"] <= 0, name


def serious_faults(page: Page, **options: Any) -> list[str]:
    page.evaluate("for (const part of document.querySelectorAll('main details')) part.open = true")
    found = Axe().run(page, options={"resultTypes": ["violations"], **options})
    return [
        f"{fault['id']}: {node['target']} {node['html'][:120]}"
        for fault in found.response["violations"]
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


def test_no_page_has_a_serious_fault_by_day_or_by_night(looks) -> None:
    assert {name: look.faults for name, look in looks.items() if look.faults} == {}


def test_axe_sees_a_fault(new_context) -> None:
    page = new_context().new_page()
    page.set_content("<main><h1>Pale</h1><p style='color: #ddd'>Hardly to be read</p></main>")
    assert any("color-contrast" in fault for fault in serious_faults(page))


def test_pages_are_light_and_stay_on_this_host(looks, live_server) -> None:
    for name, look in looks.items():
        assert look.hosts == {urlsplit(live_server.url).netloc}, name
        assert sum(look.weights.values()) < MOST_BYTES, (name, look.weights)
        assert len(look.weights) > 2, name  # the page, its looks, its script


def weight(response: Response) -> int:
    if response.request.resource_type in ("font", "fetch", "other"):
        return 0  # what nobody waits for: the zone is told, the icon may come with the next page
    if response.status in (204, 304):
        return 0
    body = response.body()
    return len(gzip.compress(body) if "/static/" in response.url else body)
