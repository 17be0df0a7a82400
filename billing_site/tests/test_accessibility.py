"""Every page, on a phone, by day and by night: nothing that axe calls serious, and little to load.

A new page is one more line in PAGES.
"""

import gzip
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from billing_site.accounts.models import User
from billing_site.sandbox import demo, history
from billing_site.sandbox.shop import open_shop
from credits import services as credits
from credits.models import Subscription
from generation import services as generations
from generation.models import Generation

pytest.importorskip("playwright", reason="playwright: pip install -r requirements-dev.txt")
pytest.importorskip("pytest_playwright", reason="playwright: pip install -r requirements-dev.txt")
pytest.importorskip("axe_playwright_python", reason="axe: pip install -r requirements-dev.txt")
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Response

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PHONE = {"width": 360, "height": 740}
MOST_BYTES = 100_000  # beside the font, with static files compressed as a public site sends them
NEW_CUSTOMER = demo.Person("new@example.com", is_staff=False)

PAGES = {  # address: who looks at it. {failed} and the like are generations in that state.
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
    None: [
        "/",
        "/prices/",
        "/statement/verify/",
        "/accounts/login/",
        "/accounts/signup/",
        "/accounts/password/reset/",
    ],
}


@pytest.fixture
def states(live_server, tmp_path) -> Iterator[dict[str, str]]:
    with open_shop(live_server.url, tmp_path / "stripe.json"):
        yield make_states()


def make_states() -> dict[str, str]:
    """A customer with a past; gives a generation in each state."""
    now = timezone.now()
    call_command("init_pricing", verbosity=0)
    history.make(now=now)
    demo.make(NEW_CUSTOMER)
    account = credits.open_account(user_id=User.objects.get(email=demo.CUSTOMER.email).pk, now=now)
    Subscription.objects.update(status="past_due")
    found = {row.status: str(row.pk) for row in Generation.objects.all()}
    single = _request(account.pk, now, Generation.Funding.RETAIL)
    claimed = generations.claim(now=now, generation_id=single.pk)
    assert claimed is not None
    generations.succeed(
        claimed=claimed, output="Final.", model="m", input_tokens=1, output_tokens=1, now=now
    )
    canceled = _request(account.pk, now)
    generations.cancel(generation=canceled, now=now)
    queued = _request(account.pk, now)
    return found | {
        "single": str(single.pk), "canceled": str(canceled.pk), "queued": str(queued.pk)
    }  # fmt: skip


def _request(
    account_id: int, now: datetime, funding: Generation.Funding = Generation.Funding.CREDITS
) -> Generation:
    return generations.request_generation(
        account_id=account_id, prompt="A story.", funding=funding, operation="text", now=now
    )[0]


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


def session_of(person: demo.Person, address: str) -> Any:
    """The cookie of somebody who signed in."""
    client = Client()
    client.force_login(User.objects.get(email=person.email))
    return {"name": "sessionid", "value": client.cookies["sessionid"].value, "url": address}


@pytest.fixture
def walk(new_context, live_server, states) -> Walk:
    return Walk(new_context, live_server.url, states)


def serious_faults(page: Page, **options: Any) -> list[str]:
    page.evaluate("for (const part of document.querySelectorAll('main details')) part.open = true")
    found = Axe().run(page, options={"resultTypes": ["violations"], **options})
    return [
        f"{fault['id']}: {node['target']} {node['html'][:120]}"
        for fault in found.response["violations"]
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


def test_no_page_has_a_serious_fault_by_day_or_by_night(walk: Walk) -> None:
    faults = {}
    for name, page, _loaded in walk.pages(reduced_motion="reduce"):
        page.emulate_media(color_scheme="light")
        faults[name] = serious_faults(page)
        page.emulate_media(color_scheme="dark")  # which differs in its colours only
        faults[name] += serious_faults(page, runOnly=["color-contrast"])
    assert {name: found for name, found in faults.items() if found} == {}


def test_axe_sees_a_fault(new_context) -> None:
    page = new_context().new_page()
    page.set_content("<main><h1>Pale</h1><p style='color: #ddd'>Hardly to be read</p></main>")
    assert any("color-contrast" in fault for fault in serious_faults(page))


def test_pages_are_light_and_stay_on_this_host(walk: Walk) -> None:
    for name, page, loaded in walk.pages():
        page.wait_for_load_state("load")
        hosts = {urlsplit(response.url).netloc for response in loaded}
        assert hosts == {urlsplit(walk.address).netloc}, name
        weights = {response.url: weight(response) for response in list(loaded)}
        assert sum(weights.values()) < MOST_BYTES, (name, weights)
        assert len(weights) > 2, name  # the page, its looks, its script


def weight(response: Response) -> int:
    if response.request.resource_type in ("font", "fetch", "other"):
        return 0  # what nobody waits for: the zone is told, the icon may come with the next page
    if response.status in (204, 304):
        return 0
    body = response.body()
    return len(gzip.compress(body) if "/static/" in response.url else body)
