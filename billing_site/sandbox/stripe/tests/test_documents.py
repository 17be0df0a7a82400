"""The invoices and receipts that the sandbox hosts, and the site's links to them."""

import time

import pytest
import requests
import stripe

from billing_site.sandbox.stripe.tests.conftest import DECLINED, FAILS_LATER
from billing_site.sandbox.stripe.tests.test_plan_changes import site
from credits.payments.tests.conftest import account, books_balance, new_account, offers
from credits.tests.pages import client_of

__all__ = ["account", "books_balance", "new_account", "offers", "site"]


def status_of(url):
    return requests.get(url, timeout=5).status_code


def shown(visitor, url):
    page = visitor.open(url)
    assert page.status == 200, page.text
    return page.text


class TestTheReceipt:
    def test_of_a_pack_says_what_was_paid_and_with_what(self, shop, client, visitor):
        bought = shop.buy(shop.pack, quantity=2)
        charge = client.v1.charges.list({"payment_intent": bought.payment_intent}).data[0]
        shop.delivered()
        assert shop.receiver.last("charge.succeeded")["receipt_url"] == charge.receipt_url
        page = shown(visitor, charge.receipt_url)
        for words in ("Receipt for 10.00 USD", "ann@example.com", "visa ending in 4242", "Pack"):
            assert words in page
        assert "Refunded" not in page
        client.v1.refunds.create({"charge": charge.id, "amount": 300})
        assert "3.00 USD" in shown(visitor, charge.receipt_url)

    def test_of_a_declined_card_does_not_exist(self, sandbox, shop, client):
        shop.buy(shop.pack, card=DECLINED)
        charge = client.v1.charges.list().data[0]
        assert charge.receipt_url is None
        assert status_of(f"{sandbox.address}/receipts/{charge.id}") == 404

    @pytest.mark.parametrize("path", ["receipts/ch_nothing", "receipts/", "i/in_nothing", "i/"])
    def test_and_invoice_of_nothing_do_not_exist(self, sandbox, path):
        assert status_of(f"{sandbox.address}/{path}") == 404

    def test_has_no_markup_of_others(self, shop, client, visitor):
        client.v1.customers.update(shop.customer.id, {"email": "<b>x</b>@example.com"})
        bought = shop.buy(shop.price("<script>alert(1)</script>", 500))
        charge = client.v1.charges.list({"payment_intent": bought.payment_intent}).data[0]
        page = shown(visitor, charge.receipt_url)
        assert "<script" not in page
        assert "<b>x" not in page


class TestTheInvoice:
    def test_of_a_plan_lists_its_lines_and_leads_to_its_receipt(self, shop, client, visitor):
        bought = shop.buy(shop.plan)
        invoice = client.v1.invoices.retrieve(bought.invoice)
        assert invoice.invoice_pdf is None  # there is none
        page = shown(visitor, invoice.hosted_invoice_url)
        for words in (f"Invoice {invoice.number}", "Starter", "9.00 USD", "paid", "/receipts/ch_"):
            assert words in page
        assert "Card number" not in page
        receipt = client.v1.charges.list().data[0].receipt_url
        assert f'href="/i/{invoice.id}"' in shown(visitor, receipt)

    def test_of_a_change_shows_what_is_unused(self, site, shop, visitor):
        site.subscribes(shop.plan)
        shop.sandbox.advance(10)
        site.changes("pro")
        invoice = shop.client.v1.invoices.list().data[0]
        page = shown(visitor, invoice.hosted_invoice_url)
        assert "Unused time on Starter" in page
        assert "Remaining time on Pro" in page

    def test_that_was_not_paid_is_paid_there(self, shop, client, visitor):
        shop.buy(shop.plan, card=FAILS_LATER)
        shop.sandbox.advance(32)
        open_one = client.v1.invoices.list({"status": "open"}).data[0]
        assert "Card number" in shown(visitor, open_one.hosted_invoice_url)
        visitor.press("action", "pay", card="4242 4242 4242 4242")
        assert "/receipts/" in visitor.text
        assert client.v1.invoices.retrieve(open_one.id).status == "paid"

    def test_that_is_a_draft_does_not_exist(self, sandbox, shop, client):
        bought = shop.buy(shop.plan)
        turn = client.v1.subscriptions.retrieve(bought.subscription)["items"].data[0]
        shop.sandbox.store.offset = turn.current_period_end - int(time.time())
        shop.sandbox.advance(0)  # within the hour between the draft and its payment
        draft = shop.client.v1.invoices.list({"status": "draft"}).data[0]
        assert draft.hosted_invoice_url is None
        assert status_of(f"{sandbox.address}/i/{draft.id}") == 404


@pytest.mark.django_db
def test_the_page_of_purchases_links_them(site, shop, visitor):
    site.subscribes(shop.plan)
    shop.buy(shop.pack, metadata={"offer": "pack-50"})
    site.hears()
    page = client_of(site.account).get("/purchases/").content.decode()
    charges = shop.client.v1.charges.list().data
    links = [charge.receipt_url for charge in charges]
    links.append(shop.client.v1.invoices.list().data[0].hosted_invoice_url)
    assert len(links) == 3
    for url in links:
        assert f'href="{url}"' in page
        shown(visitor, url)
    assert "PDF" not in page


def test_their_addresses_are_fields_of_stripes_own_objects():
    assert "receipt_url" in stripe.Charge.__annotations__
    assert "hosted_invoice_url" in stripe.Invoice.__annotations__
