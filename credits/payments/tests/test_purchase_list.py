"""The page of purchases: what was bought, what became of it, and Stripe's documents."""

from datetime import timedelta

import pytest

from credits import services
from credits.models import Pool
from credits.payments import purchase_list
from credits.payments.tests import events as stripe
from credits.tests.pages import client_of, html, text

pytestmark = pytest.mark.django_db

INVOICE = "https://invoice.stripe.com/i/acct_1/test_abc?s=ap"
PDF = "https://pay.stripe.com/invoice/acct_1/test_abc/pdf?s=ap"
RECEIPT = "https://pay.stripe.com/receipts/payment/abc"


def page_of(account, query=""):
    return text(client_of(account).get(f"/purchases/{query}"))


def listed(account):
    found = purchase_list.purchases(account_id=account.pk)
    return purchase_list.on_page(found.page(1), account_id=account.pk)


def buys(at_stripe, offer="pack-50", number="1", **changes):
    return at_stripe.sends(
        "checkout.session.completed", stripe.session(number, offer=offer, **changes)
    )


def pays_invoice(at_stripe, **documents):
    invoice = stripe.invoice("1", version=at_stripe.version, lines=[at_stripe.line()])
    at_stripe.sends("invoice.paid", {**invoice, **documents})


def test_says_when_nothing_was_bought_and_where_to(account):
    services.grant(
        account_id=account.pk, pool=Pool.BULK, amount=5, source_key="manual:1",
        now=account.created_at,
    )  # fmt: skip
    assert "Nothing bought yet" in page_of(account)
    assert 'href="/prices/"' in html(client_of(account).get("/purchases/"))


class TestAPurchase:
    def test_of_a_pack_shows_price_credits_and_what_is_left(self, at_stripe):
        buys(at_stripe)
        services.spend(
            account_id=at_stripe.account.pk, amount=20, reference="r", idempotency_key="k",
            now=at_stripe.now,
        )  # fmt: skip
        page = page_of(at_stripe.account)
        assert "pack-50 $5.00 10 Mar 2026, 12:00 UTC cs_1 50 credits 30 left" in page

    def test_of_tokens_is_one_however_many_they_are(self, at_stripe):
        metadata = {"offer": "single", "quantity": "12"}
        buys(at_stripe, "single", paid=1200, metadata=metadata)
        [bought] = listed(at_stripe.account)
        assert (bought.credits, bought.left, bought.amount_paid) == (12, 12, 1200)
        services.reserve_retail_token(
            account_id=at_stripe.account.pk, reference="generation:1", now=at_stripe.now
        )
        assert "single $12.00" in page_of(at_stripe.account)
        assert "12 generations 11 left" in page_of(at_stripe.account)

    def test_of_a_plan_names_the_period(self, at_stripe):
        at_stripe.pays_invoice()
        assert "Plan starter, period 10 Mar" in page_of(at_stripe.account)

    def test_that_was_refunded_says_how_much(self, at_stripe):
        buys(at_stripe)
        at_stripe.sends("charge.refunded", stripe.charge("pi_cs_1", amount=500, refunded=200))
        page = page_of(at_stripe.account)
        assert "30 left $2.00 refunded 20 taken back" in page

    def test_whose_refund_failed_was_not_refunded(self, at_stripe):
        buys(at_stripe)
        refund = stripe.refund("1", "pi_cs_1", amount=200, made=at_stripe.now)
        at_stripe.sends("refund.created", refund)
        assert "$2.00 refunded" in page_of(at_stripe.account)
        at_stripe.sends("refund.failed", {**refund, "status": "failed"})
        page = page_of(at_stripe.account)
        assert "50 left" in page and "refunded" not in page

    def test_that_is_disputed_says_so(self, at_stripe):
        buys(at_stripe)
        disputed = stripe.dispute("pi_cs_1", status="needs_response", amount=500)
        at_stripe.sends("charge.dispute.created", disputed)
        assert "0 left Disputed: 50 set aside" in page_of(at_stripe.account)
        at_stripe.sends("charge.dispute.closed", {**disputed, "status": "lost"})
        page = page_of(at_stripe.account)
        assert "0 left $5.00 went back in a dispute 50 taken back" in page

    def test_of_another_customer_is_not_shown(self, at_stripe, new_account):
        buys(at_stripe)
        assert "Nothing bought yet" in page_of(new_account())


class TestDocuments:
    def test_of_a_plan_are_its_invoice(self, at_stripe):
        pays_invoice(at_stripe, hosted_invoice_url=INVOICE, invoice_pdf=PDF)
        [bought] = listed(at_stripe.account)
        assert bought.documents == [("Invoice", INVOICE), ("Invoice, PDF", PDF)]
        page = client_of(at_stripe.account).get("/purchases/").content.decode()
        assert f'rel="noreferrer" href="{INVOICE}"' in page

    @pytest.mark.parametrize("charge_first", [True, False])
    def test_of_a_pack_are_the_receipt_of_its_charge(self, at_stripe, charge_first):
        charge = {
            **stripe.charge("pi_cs_1", amount=500, refunded=0),
            "customer": "cus_1", "receipt_url": RECEIPT,
        }  # fmt: skip
        if charge_first:
            at_stripe.sends("charge.succeeded", charge)
        buys(at_stripe)
        if not charge_first:
            at_stripe.sends("charge.succeeded", charge)
        assert listed(at_stripe.account)[0].documents == [("Receipt", RECEIPT)]

    def test_of_a_plan_are_the_receipt_of_its_charge_too(self, at_stripe):
        pays_invoice(at_stripe, hosted_invoice_url=INVOICE, payments=None)
        paid_by = {"type": "payment_intent", "payment_intent": "pi_9"}
        at_stripe.sends("invoice_payment.paid", {
            "id": "inpay_1", "object": "invoice_payment", "invoice": "in_1", "amount_paid": 900,
            "payment": paid_by,
        })  # fmt: skip
        charge = stripe.charge("pi_9", amount=900, refunded=0)
        at_stripe.sends("charge.succeeded", {**charge, "customer": "cus_1", "receipt_url": RECEIPT})
        [bought] = listed(at_stripe.account)
        assert bought.documents == [("Invoice", INVOICE), ("Receipt", RECEIPT)]

    def test_of_a_pack_are_the_invoice_that_checkout_made(self, at_stripe):
        buys(at_stripe, invoice="in_77")
        invoice = stripe.invoice("77", version=stripe.NEW, lines=[], reason="manual")
        at_stripe.sends("invoice.paid", {**invoice, "hosted_invoice_url": INVOICE})
        [bought] = listed(at_stripe.account)
        assert bought.documents == [("Invoice", INVOICE)]

    def test_of_charges_of_strangers_are_nobodys(self, at_stripe):
        charge = stripe.charge("pi_cs_1", amount=500, refunded=0)
        event = at_stripe.sends("charge.succeeded", {**charge, "customer": "cus_stranger"})
        assert event.state == event.State.IGNORED

    @pytest.mark.parametrize(
        "url",
        [
            "http://invoice.stripe.com/i",
            "https://invoice.stripe.com.evil.example/i",
            "https://evil.example/stripe.com/",
            "https://evilstripe.com/i",
            "https://invoice.stripe.com@evil.example/",
            "https://evil.example\\.stripe.com/",
            "https://invoice.stripe.com:8443/i",
            "javascript:alert(1)//.stripe.com/",
            "https://invoice.stripe.com/\nx",
            "",
        ],
    )
    def test_elsewhere_than_at_stripe_are_not_linked(self, at_stripe, url):
        pays_invoice(at_stripe, hosted_invoice_url=url, invoice_pdf=url)
        assert listed(at_stripe.account)[0].documents == []

    def test_of_the_sandbox_are_linked_where_there_is_one(self, settings):
        settings.STRIPE_API_BASE = "http://127.0.0.1:9000"
        assert purchase_list.is_stripes("http://127.0.0.1:9000/receipts/1")
        assert not purchase_list.is_stripes("http://127.0.0.1:90001/receipts/1")


class TestManyPurchases:
    @pytest.fixture
    def many(self, account, now):
        for number in range(110):
            services.grant(
                account_id=account.pk, pool=Pool.BULK, amount=1, amount_paid=1, currency="usd",
                source_key=f"checkout:cs_{number}", now=now + timedelta(minutes=number // 2),
            )  # fmt: skip
        services.issue_retail_token(account_id=account.pk, source_key="checkout:cs_t:1", now=now)
        return account

    def test_are_paged_without_gap_or_overlap(self, many, django_assert_max_num_queries):
        client = client_of(many)
        seen = []
        for number in range(1, 7):
            with django_assert_max_num_queries(11):
                response = client.get(f"/purchases/?page={number}")
            seen += [bought.source_key for bought in response.context["purchases"]]
        assert len(seen) == len(set(seen)) == 111
        assert "Page 6 of 6" in text(response)

    @pytest.mark.parametrize("number", ["0", "2", "x", "", "9" * 400])
    def test_pages_that_do_not_exist_are_not_found(self, account, number):
        html(client_of(account).get("/purchases/", {"page": number}), status=404)
