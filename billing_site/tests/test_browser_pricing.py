"""What is sold and given away, in a real browser: offers and codes, from staff to customer."""

import re
from typing import Any

import pytest
from django.utils import timezone

from billing_site.sandbox.stripe import Sandbox
from billing_site.tests.desk import Desk
from billing_site.tests.test_browser import no_earlier_attempts, pytestmark, visit
from billing_site.tests.test_browser_support import (
    ADA,
    BILL,
    account,
    desk,
    hears,
    reads,
)
from billing_site.tests.test_life import hosts, stripe
from credits import queries
from credits.models import Account, LedgerEntry, PromotionalCode

pytest.importorskip("playwright", reason="playwright: pip install -r requirements-dev.txt")
from playwright.sync_api import expect

__all__ = ["account", "desk", "hosts", "no_earlier_attempts", "pytestmark", "stripe", "visit"]


def test_a_plan_is_published_and_bought_and_its_successor_leaves_the_subscriber_alone(
    stripe: Sandbox, desk: Any, visit: Any, account: Account
) -> None:
    bill, ada = desk(BILL), visit()
    Desk(ada).signs_in(ADA, to="/prices/")
    expect(ada.get_by_role("heading", name="Team")).to_have_count(0)

    bill.page.goto("/admin/credits/offer/add/")
    for label, text in {"Name": "Team", "Slug": "team", "Credits": "500", "Price": "4900"}.items():
        bill.types(label, text)
    bill.chooses("Interval", "month")
    bill.presses("Save draft")
    bill.follows("Publish", path="/publish")
    reads(bill.page, "It costs $49.00 per month.", "It brings 500 credits.")
    bill.presses("Publish")
    reads(bill.page, "Team is on sale")

    buys(ada, stripe, "Subscribe to Team")
    assert granted(account) == [500]

    bill.follows("Edit", path="/edit")
    reads(bill.page, "Its terms are fixed")
    bill.page.go_back()
    bill.follows("Make a successor", path="/succeed")
    bill.types("Credits", "300")
    bill.presses("Save draft")
    bill.follows("Publish", path="/publish")
    reads(bill.page, "Team is retired; who has it keeps it.")
    bill.presses("Publish")
    ada.goto("/prices/")
    reads(ada, "300 credits")

    stripe.advance(32)  # the longest month, and the hour before an invoice is final
    hears(stripe)
    assert granted(account) == [500, 500]
    ada.goto("/subscription/")
    reads(ada, "It renews for $49.00 and brings 500 credits")


def test_codes_are_made_and_a_customer_redeems_one(desk: Any, visit: Any, account: Account) -> None:
    bill, ada = desk(BILL), visit()
    Desk(ada).signs_in(ADA, to="/redeem/")
    bill.page.goto("/admin/credits/promotionalcode/add/")
    bill.types("Campaign", "Spring fair")
    for label, text in {"Count": "50", "Beginning": "FAIR", "Credits": "25"}.items():
        bill.types(label, text)
    bill.presses("Make them")
    reads(bill.page, "50 codes were made", "50 promotional codes")
    with bill.page.expect_download() as download:
        bill.follows("Download as CSV")
    codes = re.findall(r"FAIR-[A-Z2-9]{10}", download.value.path().read_text())
    assert len(set(codes)) == 50

    for _twice in range(2):
        ada.goto("/redeem/")
        ada.get_by_label("Code").fill(codes[0].lower())
        ada.get_by_role("button", name="Redeem").click()
    reads(ada, "You redeemed this code on")
    assert balance(account) == 25
    ada.goto("/ledger/")
    reads(ada, f"Code {codes[0]}")

    code = PromotionalCode.objects.get(code=codes[0])
    bill.page.goto(f"/admin/credits/promotionalcode/{code.pk}/change/")
    bill.follows("1 so far: who, and when")
    expect(bill.page.get_by_role("link", name=ADA)).to_be_visible()


def buys(page: Any, stripe: Sandbox, button: str) -> None:
    page.reload()
    page.get_by_role("main").get_by_role("button", name=button).first.click()
    page.get_by_role("main").get_by_role("button", name="Subscribe").click()  # at Stripe
    page.wait_for_url("**/purchases/done/**")
    hears(stripe)


def granted(account: Account) -> list[int]:
    """What each period has brought, as the ledger has it."""
    lines = LedgerEntry.objects.filter(account=account, kind="grant", pool="subscription")
    return list(lines.order_by("sequence").values_list("amount", flat=True))


def balance(account: Account) -> int:
    return queries.balance(account_id=account.pk, now=timezone.now()).available
