"""A customer's whole life in a real browser, with the Stripe sandbox as Stripe.

From the sign-up to the deletion of the account; after every step the page shows the balance that
was to be expected, and the books are proved.
"""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.core import mail
from django.core.management import call_command
from django.utils import timezone

from billing_site.accounts.models import User
from billing_site.sandbox.shop import open_shop
from billing_site.sandbox.stripe import Sandbox
from billing_site.sandbox.stripe.tests.conftest import FAILS_LATER, GOOD
from billing_site.tests.test_browser import (
    EMAIL,
    PASSWORD,
    does_not_scroll_sideways,
    no_earlier_attempts,
    pytestmark,
    sign_up,
    visit,
)
from billing_site.tests.working import worker
from credits import queries
from credits.models import Account, InboxEvent, Payment
from credits.notices import outbox
from credits.payments import inbox
from credits.payments.client import connect
from generation import services as generations
from generation.models import Generation

pytest.importorskip("playwright", reason="playwright: pip install -r requirements-dev.txt")
from playwright.sync_api import Page, expect

__all__ = ["no_earlier_attempts", "pytestmark", "visit"]

PATIENCE_SECONDS = 15
SETTLED = [InboxEvent.State.APPLIED, InboxEvent.State.IGNORED]


@pytest.fixture
def stripe(live_server, tmp_path) -> Iterator[Sandbox]:
    with open_shop(live_server.url, tmp_path / "stripe.json") as sandbox:
        call_command("init_pricing", verbosity=0)
        yield sandbox


@pytest.fixture
def hosts(live_server, stripe: Sandbox) -> list[str]:
    return [live_server.url, stripe.address]


@dataclass
class Life:
    """Somebody at a browser, and what happens at Stripe meanwhile."""

    page: Page
    stripe: Sandbox

    @property
    def account(self) -> Account:
        return Account.objects.get(user=User.objects.get(email=EMAIL))

    def has(self, *, subscription: int = 0, bulk: int = 0) -> None:
        """The overview and the ledger say so, and the books are right."""
        self.hears()
        balance = queries.balance(account_id=self.account.pk, now=timezone.now())
        assert (balance.pools["subscription"], balance.pools["bulk"]) == (subscription, bulk)
        assert list(queries.find_imbalances()) == []
        self.opens("/")
        expect(self.page.locator("#available")).to_have_text(f"{subscription + bulk}")
        for pool, amount in (("Subscription", subscription), ("Bulk", bulk)):
            part = self.page.get_by_role("listitem").filter(
                has=self.page.get_by_role("heading", name=pool)
            )
            expect(part.get_by_text(f"{amount}", exact=True)).to_be_visible()

    def hears(self) -> None:
        """Waits until what happened at Stripe is booked."""
        assert self.stripe.wait_until_delivered(PATIENCE_SECONDS)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while open_events := list(InboxEvent.objects.exclude(state__in=SETTLED)):
            assert time.monotonic() < deadline, [(row.type, row.reason) for row in open_events]
            time.sleep(0.05)

    def opens(self, address: str) -> None:
        self.page.goto(address)
        assert does_not_scroll_sideways(self.page), address

    def presses(self, name: str) -> None:
        self.page.get_by_role("main").get_by_role("button", name=name).first.click()

    def follows(self, name: str) -> None:
        self.page.get_by_role("main").get_by_role("link", name=name).click()

    def reads(self, *sentences: str) -> None:
        for sentence in sentences:
            expect(self.page.get_by_role("main")).to_contain_text(sentence, timeout=15_000)

    def gets_mail(self, subject: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while subject not in [message.subject for message in mail.outbox]:
            assert time.monotonic() < deadline, [message.subject for message in mail.outbox]
            time.sleep(0.05)

    def a_month_passes(self) -> None:
        self.stripe.advance(32)  # the longest, and the hour before an invoice is final
        self.hears()


def buys_a_plan(life: Life) -> None:
    life.opens("/prices/")
    life.presses("Subscribe to Starter")
    life.presses("Subscribe")  # on the page of Stripe
    life.reads("20 credits have arrived.")
    life.has(subscription=20)
    life.gets_mail("20 credits added: Starter")


def generates(life: Life, model_text: str) -> None:
    life.follows("New generation")
    life.page.get_by_label("What should be written?").fill("A story about a ledger.")
    life.presses("Generate")
    life.reads(model_text)
    expect(life.page.locator("#status")).to_have_text("Done", timeout=15_000)
    life.has(subscription=19)


def runs_out(life: Life) -> None:
    for number in range(19):
        generations.request_generation(
            account_id=life.account.pk, prompt=f"Text {number}", operation="text",
            funding=Generation.Funding.CREDITS, now=timezone.now(),
        )  # fmt: skip
    deadline = time.monotonic() + PATIENCE_SECONDS
    while Generation.objects.filter(status="succeeded").count() < 20:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    life.has(subscription=0)
    life.follows("New generation")
    life.reads("Not enough credits: you have 0 credits.", "Take a plan", "Pay for just one")


def buys_a_pack(life: Life) -> None:
    way = life.page.get_by_role("listitem").filter(has_text="Buy a pack")
    way.get_by_role("link", name="See prices").click()
    pays_for_50_credits(life)
    life.has(bulk=50)


def pays_for_50_credits(life: Life) -> None:
    life.presses("Buy 50 credits")
    life.presses("Pay")
    life.reads("50 credits have arrived.")


def renews(life: Life) -> None:
    life.a_month_passes()
    life.has(subscription=20, bulk=50)


def changes_the_plan(life: Life) -> int:
    """To the bigger one, for the price and the credits that were shown; returns the credits."""
    life.opens("/subscription/")
    life.reads("It renews for $9.00 and brings 20 credits")
    life.follows("Change to Pro")
    life.reads("Change from Starter to Pro", "You pay $29.00 and get 100 credits.")
    shown = re.search(r"You pay \$([\d.]+), .* (\d+) credits are added", said := _main(life))
    assert shown, said
    assert 16 < float(shown[1]) <= 20
    assert 64 <= int(shown[2]) <= 80
    life.presses(f"Pay ${shown[1]} and change")
    life.reads("Your plan was changed.")
    life.has(subscription=20 + int(shown[2]), bulk=50)
    life.opens("/subscription/")
    life.reads("It renews for $29.00 and brings 100 credits")
    return 20 + int(shown[2])


def _main(life: Life) -> str:
    return " ".join(life.page.get_by_role("main").inner_text().split())


def fails_to_pay(life: Life, subscription: int) -> None:
    life.presses("Card and invoices")
    takes_card(life, FAILS_LATER)
    life.a_month_passes()
    life.has(subscription=subscription, bulk=50)
    life.reads("The last payment for your plan failed.")
    life.gets_mail("Payment failed: $29.00 for your plan")


def takes_card(life: Life, number: str) -> None:
    life.page.get_by_label("Card number").fill(number)
    life.presses("Change card")
    expect(life.page.get_by_text(f"ending in {number[-4:]}")).to_be_visible()


def fixes_the_payment(life: Life) -> None:
    life.presses("Fix the payment")
    takes_card(life, GOOD)
    life.presses("Pay now")
    expect(life.page.get_by_role("button", name="Pay now")).to_have_count(0)
    life.hears()
    life.follows("Back to the shop")
    life.reads("Your plan", "Pro", "Active")
    life.has(subscription=120, bulk=50)  # 100 new ones, and 20 carried over
    expect(life.page.get_by_text("The last payment for your plan failed.")).to_have_count(0)


def is_refunded(life: Life) -> None:
    """The pack, by the shop's staff at Stripe."""
    refunds = connect().v1.refunds
    refunds.create({"payment_intent": Payment.objects.get(amount=1500).payment_intent})
    life.has(subscription=120)
    life.gets_mail("Refund of $15.00")
    life.opens("/purchases/")
    life.reads("$15.00 refunded", "50 taken back")


def disputes_a_payment(life: Life) -> None:
    """Another pack, and the bank decides for the shop."""
    life.opens("/prices/")
    pays_for_50_credits(life)
    life.has(subscription=120, bulk=50)
    pack = Payment.objects.filter(amount=1500).latest("pk").payment_intent
    [charge] = connect().v1.charges.list({"payment_intent": pack}).data
    dispute = life.stripe.open_dispute(charge.id)
    life.has(subscription=120)
    life.reads("50 credits are set aside")
    life.gets_mail("A payment of yours is disputed")
    life.stripe.close_dispute(dispute, won=True)
    life.has(subscription=120, bulk=50)


def cancels(life: Life) -> None:
    life.opens("/subscription/")
    life.follows("Cancel the plan")
    life.reads("There are 120 credits of it now", "Credits of packs: 50.")
    life.presses("Cancel the plan")
    life.reads("Your plan ends with the period that is paid.")
    life.has(subscription=120, bulk=50)
    life.reads("Ends on", "Nothing more is charged.")


def resumes(life: Life) -> None:
    life.opens("/subscription/")
    life.presses("Resume the plan")
    life.reads("Your plan goes on.")
    life.has(subscription=120, bulk=50)
    life.reads("Renews on")


def deletes_the_account(life: Life) -> None:
    life.opens("/account/")
    life.follows("Delete my account")
    life.reads("You lose 170 credits.", "Your plan ends at once")
    life.page.get_by_label("Password").fill(PASSWORD)
    life.presses("Delete my account for good")
    life.reads("Your account is deleted")
    life.hears()
    [plan] = connect().v1.subscriptions.list({"status": "all"}).data
    assert plan.status == "canceled"
    assert list(queries.find_imbalances()) == []
    life.opens("/accounts/login/")
    life.page.get_by_label("Email").fill(EMAIL)
    life.page.get_by_label("Password").fill(PASSWORD)
    life.presses("Sign in")
    life.reads("not correct")


WAYS = [
    pytest.param({"viewport": {"width": 1280, "height": 800}}, id="desktop"),
    pytest.param({"viewport": {"width": 360, "height": 740}, "has_touch": True}, id="phone"),
    pytest.param({"java_script_enabled": False}, id="without JavaScript"),
]


@pytest.mark.parametrize("options", WAYS)
def test_a_whole_life(visit, stripe: Sandbox, options: dict[str, Any]) -> None:
    life = Life(visit(**options), stripe)
    with worker(streams=[inbox.apply_due, outbox.send_due]) as model:
        sign_up(life.page)
        buys_a_plan(life)
        generates(life, model.text)
        runs_out(life)
        buys_a_pack(life)
        renews(life)
        subscription = changes_the_plan(life)
        fails_to_pay(life, subscription)
        fixes_the_payment(life)
        is_refunded(life)
        disputes_a_payment(life)
        cancels(life)
        resumes(life)
        cancels(life)
        deletes_the_account(life)
