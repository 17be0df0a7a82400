"""What support is asked most often, answered in a real browser by people in their roles."""

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from billing_site.accounts.roles import BILLING, SUPPORT
from billing_site.sandbox import demo
from billing_site.sandbox.stripe import Sandbox
from billing_site.sandbox.visitor import Visitor
from billing_site.tests.desk import Desk, hire
from billing_site.tests.test_accessibility import serious_faults
from billing_site.tests.test_browser import no_earlier_attempts, pytestmark, visit
from billing_site.tests.test_life import hosts, stripe
from credits import queries, services
from credits.models import Account, InboxEvent, LedgerEntry, Payment
from credits.payments import inbox
from generation.models import Generation
from generation.tests.cast import finish, give, start

pytest.importorskip("playwright", reason="playwright: pip install -r requirements-dev.txt")
from playwright.sync_api import expect

__all__ = ["hosts", "no_earlier_attempts", "pytestmark", "stripe", "visit"]

DAY = timedelta(days=1)

SUE, BILL, ADA = "sue@example.com", "bill@example.com", "ada@example.com"
HANDS = [pytest.param(False, id="mouse"), pytest.param(True, id="keyboard")]


@pytest.fixture
def account() -> Account:
    ada = demo.make(demo.Person(ADA, is_staff=False))
    hire(SUE, SUPPORT)
    hire(BILL, BILLING)
    return services.open_account(user_id=ada.pk, now=timezone.now() - 3 * DAY)


@pytest.fixture
def desk(visit: Any) -> Any:
    """Somebody of the staff who has signed in."""

    def open_desk(email: str, *, by_keyboard: bool = False) -> Desk:
        desk = Desk(visit(), by_keyboard)
        desk.signs_in(email)
        desk.clicks = 0
        return desk

    return open_desk


def reads(page: Any, *sentences: str) -> None:
    for sentence in sentences:
        expect(page.locator("body")).to_contain_text(sentence)


def written(account: Account) -> Generation:
    """A generation that has taken its price."""
    generation = start(account, timezone.now())
    finish(generation, timezone.now())
    return generation


class TestWhereDidMyCreditsGo:
    @pytest.mark.parametrize("by_keyboard", HANDS)
    def test_support_reads_it_in_words_in_a_few_clicks(
        self, desk: Any, account: Account, by_keyboard: bool
    ) -> None:
        give(account, timezone.now() - 2 * DAY)
        generation = written(account)
        sue = desk(SUE, by_keyboard=by_keyboard)
        sue.looks_up(ADA)
        line = sue.page.get_by_role("row").filter(has_text="Price of the work")
        expect(line).to_contain_text(f"generation {str(generation.pk)[:8]}")
        expect(line).to_contain_text("Bulk 9")
        assert sue.clicks == 2
        yesterday = timezone.now() - DAY
        sue.types_moment("Balance at (UTC)", yesterday)
        sue.presses("Show")
        reads(sue.page, f"At {yesterday:%Y-%m-%d %H:%M} UTC: 10 credits, 0 held, 0 owed")
        sue.follows("Explain")
        together = sue.page.get_by_role("row").filter(has_text="Together")
        expect(together).to_be_visible()
        granted, left, _aside, used, *_rest = together.get_by_role("cell").all_inner_texts()
        assert (granted, left, used) == ("10", "9", "1")
        assert sue.clicks == 4


class TestMyGenerationFailedAndIWantItBack:
    @pytest.mark.parametrize("by_keyboard", HANDS)
    def test_support_gives_the_credit_back_and_the_customer_sees_it(
        self, desk: Any, visit: Any, account: Account, by_keyboard: bool
    ) -> None:
        give(account, timezone.now())
        generation = written(account)
        sue = desk(SUE, by_keyboard=by_keyboard)
        sue.looks_up(str(generation.pk))
        sue.follows("Adjust")
        sue.chooses("Kind", "Give back what a generation cost")
        sue.presses("Next")
        sue.chooses("Why", "A fault of ours")
        sue.types("In words", "The text was cut off")
        sue.presses("Preview")
        reads(sue.page, "+1 bulk credit, then 10 there.")
        assert balance(account) == 9
        sue.presses("Do this")
        reads(sue.page, "Posted.")
        assert balance(account) == 10
        sue.looks_up(ADA)
        reads(sue.page, "Goodwill: the price of the work given back (The text was cut off)")
        self.customer_reads_it(visit())

    def customer_reads_it(self, page: Any) -> None:
        Desk(page).signs_in(ADA, to="/ledger/")
        reads(page, "Goodwill: the price of the work given back (The text was cut off)")

    def test_above_the_limit_billing_approves_and_never_who_asked(
        self, desk: Any, account: Account
    ) -> None:
        sue, bill = desk(SUE), desk(BILL)
        for who in (sue, bill):
            asks_for(who, amount=500)
            reads(who.page, "Waiting for a second person")
            who.follows("Decide")
            expect(who.page.get_by_role("button", name="Approve and post")).to_have_count(0)
            expect(who.page.get_by_role("button", name="Take it back")).to_be_visible()
        assert balance(account) == 0
        bill.clicks = 0
        bill.page.goto("/admin/")
        bill.follows("Adjustments that wait for a second person", exact=False)
        bill.follows_row(SUE)
        bill.follows("Decide")
        reads(bill.page, f"{SUE} asked for this", "+500 bulk credits, then 500 there.")
        bill.presses("Approve and post")
        reads(bill.page, "Approved and posted.")
        assert balance(account) == 500
        assert bill.clicks == 4


class TestIBoughtTheWrongPack:
    @pytest.mark.parametrize("by_keyboard", HANDS)
    def test_billing_refunds_it_and_what_was_shown_happens(
        self, stripe: Sandbox, desk: Any, account: Account, by_keyboard: bool
    ) -> None:
        buys_a_pack(stripe)
        for _number in range(10):
            written(account)
        bill = desk(BILL, by_keyboard=by_keyboard)
        bill.looks_up(ADA)
        bill.follows(f"Refund {timezone.now():%Y-%m-%d}: 50 credits, $15.00")
        reads(bill.page, "$15.00 can be refunded")
        bill.types("Reason", "Bought the wrong pack")
        bill.presses("Show what it would do")
        reads(bill.page, "take back 40 credits", "leave 10 credits owed")
        assert balance(account) == 40
        bill.presses("Refund now")
        reads(bill.page, "The credits follow with its event.")
        assert bill.clicks == 5
        hears(stripe)
        assert balance(account) == 0
        account.refresh_from_db()
        assert account.owed == 10
        [line] = LedgerEntry.objects.filter(kind="claw_back")
        assert (line.amount, line.owed_after) == (-40, 10)
        paid = Payment.objects.get().payment_intent
        bill.looks_up(ADA)
        reads(
            bill.page,
            "The money for it went back: 50 credits. Owed after this",
            f"{BILL} asked Stripe to refund a purchase ({paid}): Bought the wrong pack",
        )

    def test_support_sees_the_purchase_but_no_refund(
        self, stripe: Sandbox, desk: Any, account: Account
    ) -> None:
        buys_a_pack(stripe)
        sue = desk(SUE)
        sue.looks_up(ADA)
        expect(sue.page.get_by_role("row").filter(has_text="$15.00").first).to_be_visible()
        expect(
            sue.page.get_by_role("link", name=f"Refund {timezone.now():%Y-%m-%d}")
        ).to_have_count(0)


def balance(account: Account) -> int:
    return queries.balance(account_id=account.pk, now=timezone.now()).available


def asks_for(who: Desk, *, amount: int) -> None:
    who.looks_up(ADA)
    who.follows("Adjust")
    who.presses("Next")  # a grant is what is asked for most
    who.chooses("Pool", "Bulk")
    who.types("Credits", str(amount))
    who.types("In words", "A big apology")
    who.presses("Preview")
    who.presses("Do this")


def buys_a_pack(stripe: Sandbox) -> None:
    """Ada does, and pays."""
    ada = Visitor(settings.SITE_URL)
    ada.sign_in(ADA, demo.PASSWORD)
    ada.open("/prices/")
    ada.submit("offer=pack-50")
    ada.submit("action=pay", card="4242 4242 4242 4242")
    hears(stripe)


def hears(stripe: Sandbox) -> None:
    """What happened at Stripe is booked."""
    assert stripe.wait_until_delivered(15)
    InboxEvent.objects.exclude(next_attempt_at=None).update(next_attempt_at=timezone.now())
    inbox.apply_due(now=timezone.now())
    settled = [InboxEvent.State.APPLIED, InboxEvent.State.IGNORED]
    assert not InboxEvent.objects.exclude(state__in=settled).exists()


PAGES = [  # {account}, {payment}, {event}: ids
    "", "credits/account/", "credits/account/{account}/change/",
    "credits/account/{account}/explain", "credits/account/{account}/what-if",
    "credits/account/{account}/freeze", "credits/adjustment/add/?account={account}&kind=give_back",
    "credits/payment/{payment}/refund", "credits/inboxevent/{event}/change/",
    "credits/ledgerentry/",
]  # fmt: skip


def test_axe_finds_nothing_serious_in_what_is_ours(
    stripe: Sandbox, visit: Any, account: Account
) -> None:
    buys_a_pack(stripe)
    written(account)
    page = visit(reduced_motion="reduce")
    Desk(page).signs_in(BILL)
    ids = {
        "account": account.pk,
        "payment": Payment.objects.get().pk,
        "event": InboxEvent.objects.filter(account=account).latest("pk").pk,
    }
    faults = []
    for path in PAGES:
        page.goto(f"/admin/{path}".format(**ids))
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            faults += [f"{path} {scheme} {fault}" for fault in serious_faults(page)]
    assert not faults, "\n".join(faults)
