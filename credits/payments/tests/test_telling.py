"""What customers are told: real events through the signed door, and the mails that come of them."""

import random
import re
from datetime import timedelta
from html import unescape

import pytest
from django.core import mail

from credits import services
from credits.models import InboxEvent, Notice, Offer
from credits.notices import outbox
from credits.payments.tests import events as stripe
from credits.payments.tests.events import MONTH
from credits.payments.tests.test_order import life

pytestmark = pytest.mark.django_db
State = InboxEvent.State


@pytest.fixture
def mails(at_stripe, settings):
    """Sends what is owed and returns the mails since the last call."""
    settings.SITE_URL = "https://shop.example.com"

    def mails():
        outbox.send_due(now=at_stripe.now + timedelta(days=400))
        sent, mail.outbox[:] = list(mail.outbox), []
        return sent

    return mails


@pytest.fixture
def only_mail(mails):
    """Both parts of the one mail since the last call, in one line each, and its headers."""

    def only_mail():
        [message] = mails()
        return Read(message)

    return only_mail


class Read:
    """A mail as its reader sees it. What it says stands in both of its parts."""

    def __init__(self, message):
        self.message, self.subject = message, message.subject
        self.plain = " ".join(message.body.split())
        [(self.html, kind)] = message.alternatives
        assert kind == "text/html"
        self.shown = " ".join(unescape(re.sub(r"<[^>]+>", " ", self.html)).split())
        assert message.to == ["customer1@example.com"]
        assert set(self.hosts(message.body) + self.hosts(self.html)) <= {
            "https://shop.example.com",
            "https://invoice.stripe.com",
        }

    def hosts(self, text):
        return re.findall(r"https?://[^/\s\"<]+", text)

    def says(self, *sentences):
        for sentence in sentences:
            assert sentence in self.plain, sentence
            words = sentence.replace(": ", " ")
            assert words in self.shown, (words, self.shown)
        return True


def spend(at_stripe, amount):
    services.spend(
        account_id=at_stripe.account.pk,
        amount=amount,
        reference="generation:1",
        idempotency_key="k",
        now=at_stripe.now,
    )


class TestAPurchase:
    def test_of_a_pack(self, at_stripe, only_mail):
        at_stripe.sends(
            "checkout.session.completed",
            stripe.session("1", offer="pack-50", paid=123450, metadata={"offer": "pack-50",
            "quantity": "30"}),
        )  # fmt: skip
        told = only_mail()
        assert told.subject == "1,500 credits added: 30 × pack-50"  # noqa: RUF001
        assert told.says("Paid: $1,234.50", "Added: 1,500 credits")
        assert "https://shop.example.com/" in told.plain
        assert "List-Unsubscribe" not in told.message.extra_headers

    def test_of_single_generations(self, at_stripe, only_mail):
        at_stripe.sends("checkout.session.completed", stripe.session("1", offer="single"))
        assert only_mail().subject == "1 single generation added: single"

    def test_of_a_plan_is_its_first_period(self, at_stripe, only_mail):
        at_stripe.pays_invoice(reason="subscription_create")
        told = only_mail()
        assert told.subject == "20 credits added: starter"
        assert told.says("Paid: $9.00", "Paid until: 9 April 2026, 12:00 UTC")

    def test_that_pays_what_was_owed_says_so(self, at_stripe, only_mail):
        at_stripe.sends("checkout.session.completed", stripe.session("1", offer="pack-50"))
        spend(at_stripe, 50)
        at_stripe.sends("charge.refunded", stripe.charge("pi_cs_1", amount=500, refunded=500))
        Notice.objects.all().delete()
        at_stripe.sends("checkout.session.completed", stripe.session("2", offer="pack-50"))
        assert only_mail().says("50 credits of them paid what the account owed.")

    def test_told_by_several_events_is_one_mail(self, at_stripe, mails):
        for kind in ("completed", "async_payment_succeeded", "completed"):
            at_stripe.sends(f"checkout.session.{kind}", stripe.session("1", offer="pack-50"))
        assert len(mails()) == 1

    def test_not_paid_yet_is_no_mail(self, at_stripe, mails):
        session = stripe.session("1", offer="pack-50", payment_status="unpaid")
        at_stripe.sends("checkout.session.completed", session)
        assert mails() == []

    def test_with_a_hostile_name_is_only_text(self, at_stripe, only_mail):
        Offer.objects.update(name='<img src="//evil.example/x">&amp;')
        at_stripe.sends("checkout.session.completed", stripe.session("1", offer="pack-50"))
        told = only_mail()
        assert "<img" not in told.html
        assert "&lt;img src=&quot;//evil.example/x&quot;&gt;&amp;amp;" in told.html
        assert '<img src="//evil.example/x">&amp;' in told.plain


class TestARenewal:
    @pytest.fixture(autouse=True)
    def first_period(self, at_stripe, mails, now):
        at_stripe.pays_invoice("1", lines=[at_stripe.line("price_pro")])
        spend(at_stripe, 30)
        mails()
        at_stripe.pays_invoice("2", lines=[at_stripe.line("price_pro", start=now + MONTH)])

    def test_says_what_ended_was_carried_over_and_added(self, only_mail):
        told = only_mail()
        assert told.subject == "Your plan was renewed: 100 credits added"
        assert told.says(
            "Ended, not used: 65 credits", "Carried over: 5 credits", "Added: 100 credits"
        )

    def test_is_one_mail_however_often_it_is_told(self, at_stripe, mails, now):
        at_stripe.pays_invoice("2", lines=[at_stripe.line("price_pro", start=now + MONTH)])
        assert len(mails()) == 1

    def test_can_be_switched_off_with_one_click(self, at_stripe, only_mail, mails, client, now):
        headers = only_mail().message.extra_headers
        assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        address = headers["List-Unsubscribe"].strip("<>").removeprefix("https://shop.example.com")
        client.post(address, {"List-Unsubscribe": "One-Click"})
        at_stripe.pays_invoice("3", lines=[at_stripe.line("price_pro", start=now + 2 * MONTH)])
        assert mails() == []
        assert Notice.objects.get(fact_key="invoice:in_3").state == Notice.State.SKIPPED


class TestAChangeOfPlan:
    def test_upwards_says_what_was_added(self, at_stripe, mails, only_mail, now):
        end = now + MONTH
        at_stripe.pays_invoice("1")
        mails()
        lines = [
            at_stripe.line("price_starter", now, end, amount=-900, proration=True),
            at_stripe.line("price_pro", now, end, amount=2000, proration=True),
        ]
        at_stripe.pays_invoice("2", lines=lines, reason="subscription_update", paid=1100)
        told = only_mail()
        assert told.subject == "Your plan is now pro"
        assert told.says("80 credits were added", "Paid: $11.00")

    def test_downwards_says_what_was_really_taken(self, at_stripe, mails, only_mail, now):
        end = now + MONTH
        at_stripe.pays_invoice("1", lines=[at_stripe.line("price_pro")])
        spend(at_stripe, 40)
        mails()
        lines = [
            at_stripe.line("price_pro", now, end, amount=-2000, proration=True),
            at_stripe.line("price_starter", now, end, amount=900, proration=True),
        ]
        at_stripe.pays_invoice("2", lines=lines, reason="subscription_update", paid=0)
        assert only_mail().says("60 credits were taken away")


class TestAFailedPayment:
    @pytest.fixture
    def fails(self, at_stripe):
        def fails(attempt=1, number="2", **changes):
            invoice = stripe.invoice(number, version=at_stripe.version, lines=[at_stripe.line()],
                                     paid=0)  # fmt: skip
            later = at_stripe.now + timedelta(days=3)
            invoice |= {
                "amount_due": 900,
                "attempt_count": attempt,
                "next_payment_attempt": int(later.timestamp()),
                "hosted_invoice_url": "https://invoice.stripe.com/i/acct_1/test_x",
                **changes,
            }
            return at_stripe.sends("invoice.payment_failed", invoice)

        return fails

    def test_says_how_to_pay_when_it_is_tried_again_and_how_long_credits_live(
        self, at_stripe, mails, only_mail, fails
    ):
        at_stripe.pays_invoice("1")
        mails()
        assert fails().state == State.APPLIED
        told = only_mail()
        assert told.subject == "Payment failed: $9.00 for your plan"
        assert told.says(
            "The next attempt is on 13 March 2026, 12:00 UTC.",
            "Until 12 April 2026, 12:00 UTC your plan's credits can be spent",
            "Packs, gifts and single generations stay",
            "Attempt: 1",
        )
        assert "https://invoice.stripe.com/i/acct_1/test_x" in told.plain
        assert 'href="https://invoice.stripe.com/i/acct_1/test_x"' in told.html
        assert "https://shop.example.com/prices/" in told.plain

    def test_moves_no_credit(self, at_stripe, fails):
        at_stripe.pays_invoice("1")
        lines = at_stripe.account.entries.count()
        fails()
        assert at_stripe.account.entries.count() == lines
        assert at_stripe.balance.available == 20

    def test_is_told_once_for_each_attempt(self, mails, fails):
        for attempt in (1, 1, 2, 2, 1):
            fails(attempt)
        assert len(mails()) == 2

    def test_for_the_last_time_says_so(self, only_mail, fails):
        fails(4, next_payment_attempt=None)
        assert only_mail().says("There will be no further attempt")

    def test_links_to_nobody_but_stripe(self, only_mail, fails):
        fails(hosted_invoice_url="https://invoice.stripe.com.evil.example/")
        assert "evil" not in only_mail().html

    def test_that_was_paid_meanwhile_is_no_news(self, at_stripe, mails, fails):
        at_stripe.pays_invoice("2")
        mails()
        assert fails().state == State.IGNORED
        assert mails() == []

    def test_of_a_first_period_happens_in_checkout(self, mails, fails):
        assert fails(billing_reason="subscription_create").state == State.IGNORED
        assert mails() == []

    def test_without_its_numbers_is_for_staff_to_look_at(self, fails):
        event = fails(amount_due="nine")
        assert event.state == State.FAILED
        assert "no number amount_due" in event.reason


class TestTheEndOfAPlan:
    def test_says_what_ended_with_it(self, at_stripe, mails, only_mail):
        at_stripe.sends("checkout.session.completed", stripe.session("1", offer="pack-50"))
        at_stripe.pays_invoice("1")
        mails()
        at_stripe.changes_subscription("deleted", status="canceled")
        told = only_mail()
        assert told.subject == "Your plan has ended"
        assert told.says("With it ended 20 credits", "Packs, gifts and single generations stay.")

    def test_unpaid_and_then_cancelled_is_told_once(self, at_stripe, mails, only_mail):
        at_stripe.pays_invoice("1")
        mails()
        at_stripe.changes_subscription(status="unpaid")
        at_stripe.changes_subscription("deleted", status="canceled")
        assert only_mail().says("Your plan was not paid and has ended.")

    def test_past_due_is_not_the_end(self, at_stripe, mails):
        at_stripe.pays_invoice("1")
        mails()
        at_stripe.changes_subscription(status="past_due")
        assert mails() == []


class TestMoneyThatGoesBack:
    @pytest.fixture(autouse=True)
    def pack(self, at_stripe, mails):
        at_stripe.sends("checkout.session.completed", stripe.session("1", offer="pack-50"))
        spend(at_stripe, 30)
        mails()

    def refund(self, at_stripe, cents):
        at_stripe.sends("charge.refunded", stripe.charge("pi_cs_1", amount=500, refunded=cents))

    def test_is_told_with_what_was_taken_back_and_is_owed(self, at_stripe, only_mail):
        self.refund(at_stripe, 300)
        told = only_mail()
        assert told.subject == "Refund of $3.00"
        assert told.says(
            "Paid: $5.00",
            "Refunded so far: $3.00",
            "Taken back so far: 30 credits",
            "Of these already spent: 10 credits",
            "You owe 10 credits now",
        )

    def test_in_parts_is_told_for_each_part_once(self, at_stripe, mails):
        for cents in (100, 300, 100, 300):
            self.refund(at_stripe, cents)
        assert [message.subject for message in mails()] == ["Refund of $1.00", "Refund of $3.00"]

    def test_revokes_single_generations(self, at_stripe, mails, only_mail):
        at_stripe.sends("checkout.session.completed", stripe.session("2", offer="single"))
        mails()
        at_stripe.sends("charge.refunded", stripe.charge("pi_cs_2", amount=500, refunded=500))
        assert only_mail().says("Taken back so far: 1 single generation")

    def test_after_a_dispute(self, at_stripe, only_mail, mails):
        def dispute(kind, status):
            at_stripe.sends(
                f"charge.dispute.{kind}", stripe.dispute("pi_cs_1", status=status, amount=500)
            )

        dispute("created", "warning_needs_response")
        assert mails() == []
        dispute("created", "needs_response")
        dispute("created", "needs_response")
        told = only_mail()
        assert told.subject == "A payment of yours is disputed"
        assert told.says("dispute a payment of $5.00", "20 credits of that purchase are set aside")
        dispute("closed", "lost")
        told = only_mail()
        assert told.subject == "The dispute is over: the payment went back to you"
        assert told.says("Taken back so far: 50 credits", "You owe 30 credits now")

    def test_a_dispute_that_is_won_frees_the_credits(self, at_stripe, mails, only_mail):
        for kind, status in [("created", "needs_response"), ("closed", "won")]:
            mails()
            at_stripe.sends(
                f"charge.dispute.{kind}", stripe.dispute("pi_cs_1", status=status, amount=500)
            )
        assert only_mail().subject == "The dispute is over: your credits are free again"


def test_in_whatever_order_a_life_is_told_no_fact_is_told_twice(at_stripe, mails, now):
    """Which facts are told may differ: an older refund that comes late is no news any more."""
    events = life(now - MONTH - MONTH / 2 - timedelta(days=3), at_stripe.version, ends=True)
    seed = random.randrange(10**6)
    dice = random.Random(seed)
    shuffled = events + dice.choices(events, k=5)
    dice.shuffle(shuffled)
    for event in shuffled:
        stripe.deliver(at_stripe.client, event)
        at_stripe.apply()
    for minutes in range(1, 20):
        at_stripe.apply(later=timedelta(minutes=5 * minutes))
    sent = []
    while more := mails():
        sent += [message.subject for message in more]
    told = Notice.objects.exclude(kind=Notice.Kind.STAFF)
    assert told.exclude(state=Notice.State.SENT).count() == 0, seed
    assert len(sent) == told.count(), seed
    assert sent.count("50 credits added: pack-50") == 3, (seed, sent)
    assert sent.count("1 single generation added: single") == 2, (seed, sent)
    assert sent.count("Your plan has ended") <= 1, (seed, sent)
