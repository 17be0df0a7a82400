"""Where did my credits go? Support finds the account by anything, and its page says it."""

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone

from credits import queries, services
from credits.models import (
    Account,
    CheckoutStart,
    InboxEvent,
    Notice,
    Payment,
    PlanClick,
    RetailToken,
    StaffAction,
    Subscription,
)
from credits.money import signed
from credits.payments import rules
from credits.services import Direction
from credits.staff import news, timeline
from credits.staff.deeds import in_words
from credits.staff.links import stripe_url

pytestmark = pytest.mark.django_db


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def sign_in(client):
    def sign_in(*permissions):
        user = get_user_model().objects.create_user("staff@example.com", is_staff=True)
        if permissions:
            user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        else:
            type(user).objects.filter(pk=user.pk).update(is_superuser=True)
        client.force_login(user)
        return client

    return sign_in


@pytest.fixture
def staff(sign_in):
    return sign_in()


@pytest.fixture
def open_page(customer, staff):
    url = reverse("admin:credits_account_change", args=[customer.account_id])

    def get(**query):
        answer = staff.get(url, query)
        assert answer.status_code == 200
        return answer

    return get


def event(customer, number=1, **changes):
    fields = {"type": "invoice.paid", "object_id": "in_9", "state": "applied", "body": "{}"}
    return InboxEvent.objects.create(
        event_id=f"evt_{number}",
        account_id=customer.account_id,
        created_at=customer.now,
        **{"received_at": customer.now, **fields, **changes},
    )


def everything(customer):
    """One thing of every kind, each a minute after the one before."""
    account = Account.objects.get(pk=customer.account_id)
    customer.grant(50)
    customer.wait(minutes=1)
    customer.buy_token()
    customer.wait(minutes=1)
    event(customer)
    customer.wait(minutes=1)
    CheckoutStart.objects.create(
        account=account, click_key="1", offer="pack-50", quantity=2, created_at=customer.now
    )
    customer.wait(minutes=1)
    PlanClick.objects.create(
        account=account, click_key="1", action="change", offer="pro", outcome="changed",
        created_at=customer.now,
    )  # fmt: skip
    customer.wait(minutes=1)
    Notice.objects.create(
        account=account, kind="welcome", fact_key="x", state="failed", error="550 no such user",
        created_at=customer.now,
    )  # fmt: skip
    customer.wait(minutes=1)
    services.record_action(
        actor="staff:b@example.com", action="account.freeze", reason="odd",
        account_id=account.pk, now=customer.now,
    )  # fmt: skip


class TestFinding:
    @pytest.fixture
    def found(self, customer, new_customer, staff):
        new_customer()  # somebody else

        def search(term):
            listing = staff.get(reverse("admin:credits_account_changelist"), {"q": term})
            if listing.status_code == 302:  # to the only one, or of what is no search
                way = listing["Location"].split("/")
                return {int(way[-3])} if way[-2] == "change" else set()
            return {row.pk for row in listing.context["cl"].result_list}

        return search

    def test_by_what_the_books_and_stripe_call_it(self, customer, found, now):
        me = {customer.account_id}
        account = Account.objects.get(pk=customer.account_id)
        account.stripe_customer_id = "cus_1"
        account.save()
        customer.grant(10, source_key="invoice:in_1")
        RetailToken.objects.create(
            account=account, source_key="checkout:cs_2:1", created_at=now, terms={}
        )
        Payment.objects.create(payment_intent="pi_2", source_key="checkout:cs_2", amount=100)
        Subscription.objects.create(
            subscription_id="sub_1", account=account, status="active", as_of=now
        )
        CheckoutStart.objects.create(
            account=account, click_key="1", offer="x", quantity=1, session_id="cs_3", created_at=now
        )
        event(customer, object_id="re_1")
        for term in (
            account.user.email, account.user.email.upper(), str(account.pk), "cus_1", "in_1",
            "invoice:in_1", "cs_2", "checkout:cs_2", "checkout:cs_2:1", "pi_2", "sub_1", "cs_3",
            "re_1", "evt_1", "  in_1  ",
        ):  # fmt: skip
            assert found(term) == me, term

    def test_never_by_a_part(self, customer, found):
        customer.grant(10, source_key="invoice:in_1")
        for term in ("example.com", "in_", "invoice:", "customer", "%", "_"):
            assert found(term) == set(), term

    @pytest.mark.parametrize(
        "term", ["9" * 60, "-1", "²", "x" * 5000, "6f9619ff-8b86-4011-b42d-00cf4fc964ff"]
    )
    def test_what_names_nothing_finds_nothing(self, found, term):
        assert found(term) == set()

    def test_everybody_is_listed_where_nothing_is_searched(self, found):
        assert len(found("")) == Account.objects.count() >= 2


class TestThePage:
    def test_says_what_is_there_and_where_it_came_from(self, open_page, customer):
        customer.grant(
            100, amount_paid=900, currency="usd", terms={"name": "Pack 50", "credits": 50}
        )
        customer.gift(5, days=2)
        customer.hold(3)
        text = open_page().content.decode()
        assert "102 credits" in text
        assert "2 × Pack 50" in text and "$9.00" in text  # noqa: RUF001
        assert "3 credits held for generation:1" in text

    def test_says_what_was_there_at_a_moment(self, open_page, customer):
        customer.wait(hours=-3)
        start = customer.now
        Account.objects.filter(pk=customer.account_id).update(created_at=start)
        customer.grant(100)
        customer.wait(hours=2)
        customer.spend(40)
        text = open_page(at=f"{start + timedelta(hours=1):%Y-%m-%dT%H:%M}").content.decode()
        assert "100 credits, 0 held, 0 owed" in text

    @pytest.mark.parametrize(
        ("at", "words"),
        [
            ("yesterday", "Enter a valid date/time."),
            ("0000-00-00T00:00", "Enter a valid date/time."),
            ("9999-12-31T23:59", "This moment is still to come"),
            ("0001-01-01T00:00", "There was no account before"),
        ],
    )
    def test_bad_moments_are_refused_in_words(self, open_page, at, words):
        answer = open_page(at=at)
        assert words in answer.content.decode() and answer.context["then"] is None

    def test_no_moment_at_all_is_no_fault(self, open_page):
        assert 'role="alert"' not in open_page(at="").content.decode()

    def test_leads_to_stripe(self, open_page, customer, settings):
        Account.objects.filter(pk=customer.account_id).update(stripe_customer_id="cus_1")
        assert "https://dashboard.stripe.com/test/customers/cus_1" in open_page().content.decode()
        settings.STRIPE_LIVE_MODE = True
        assert stripe_url("cus_1") == "https://dashboard.stripe.com/customers/cus_1"
        assert stripe_url("") == ""

    def test_says_who_froze_it_and_why(self, open_page, customer):
        services.freeze_account(
            account_id=customer.account_id, actor="staff:sue@example.com",
            reason="A stolen card", now=customer.now,
        )  # fmt: skip
        text = open_page(kind="ledger").content.decode()
        assert f"{customer.now:%Y-%m-%d %H:%M} UTC, sue@example.com froze the account" in text
        assert "A stolen card" in text
        services.unfreeze_account(account_id=customer.account_id, now=customer.now)
        assert "froze the account" not in open_page(kind="ledger").content.decode()

    def test_says_that_nobody_can_sign_in(self, open_page, customer):
        assert "Nobody can sign in" not in open_page().content.decode()
        get_user_model().objects.filter(credit_account=customer.account_id).update(is_active=False)
        assert "Nobody can sign in" in open_page().content.decode()

    @pytest.mark.parametrize(
        ("status", "words"), [("trialing", "in its trial"), ("past_due", "overdue")]
    )
    def test_says_in_words_how_the_plan_stands(self, open_page, customer, status, words):
        Subscription.objects.create(
            subscription_id="sub_1", account_id=customer.account_id, status=status,
            price_id="price_x", as_of=customer.now,
        )  # fmt: skip
        text = open_page().content.decode()
        assert f"Plan price_x: {words}" in text and status not in text

    def test_shows_the_plan(self, open_page, customer):
        Subscription.objects.create(
            subscription_id="sub_1", account_id=customer.account_id, status="past_due",
            price_id="price_x", as_of=customer.now,
        )  # fmt: skip
        assert "The last payment failed." in open_page().content.decode()

    def test_of_somebody_new_is_empty(self, open_page):
        text = open_page().content.decode()
        assert "0 credits" in text and "No credits." in text and "Nothing." in text

    def test_texts_of_others_stay_texts(self, open_page, customer):
        evil = "<script>alert(1)</script>"
        customer.grant(5, note=evil, source_key=evil)
        event(customer, type=evil, object_id=evil)
        StaffAction.objects.create(
            actor=evil, action="x", account_id=customer.account_id, target=evil, reason=evil,
            created_at=customer.now,
        )  # fmt: skip
        text = open_page().content.decode()
        assert "<script>alert(1)" not in text and "&lt;script&gt;alert(1)" in text


class TestTheTimeline:
    def test_tells_everything_newest_first(self, open_page, customer):
        everything(customer)
        items = open_page().context["timeline"].items
        assert [item.source.kind for item in items] == [
            "staff", "mails", "plans", "checkouts", "stripe", "tokens", "ledger",
        ]  # fmt: skip
        assert "550 no such user" in items[1].told.words
        assert items[-1].told.more == "+50"

    @pytest.mark.parametrize("kind", ["ledger", "stripe", "staff"])
    def test_tells_one_kind_alone(self, open_page, customer, kind):
        everything(customer)
        assert {item.source.kind for item in open_page(kind=kind).context["timeline"].items} == {
            kind
        }

    def test_every_item_leads_to_its_row(self, open_page, customer, staff):
        everything(customer)
        for item in open_page().context["timeline"].items:
            assert staff.get(item.url).status_code == 200

    @pytest.mark.parametrize("size", [1, 3, 7])
    def test_pages_show_every_row_once(self, customer, monkeypatch, size):
        monkeypatch.setattr(timeline, "PAGE", size)
        customer.grant(50)
        for number in range(10):  # several at one moment, also of several kinds
            customer.spend(1)
            event(customer, number)
            if number % 4 == 0:
                customer.wait(seconds=1)
        seen, after = [], ""
        while True:
            page = timeline.page(customer.account_id, timeline.SOURCES, after)
            seen += [(item.source.kind, item.row.pk) for item in page.items]
            after = page.next
            if not after:
                break
        assert len(seen) == len(set(seen)) == 21

    def test_a_clock_that_went_back_hides_nothing(self, customer, monkeypatch):
        monkeypatch.setattr(timeline, "PAGE", 2)
        customer.grant(50)
        customer.wait(hours=-1)
        customer.spend(1)
        customer.wait(hours=3)
        customer.spend(2)
        first = timeline.page(customer.account_id, timeline.SOURCES)
        rest = timeline.page(customer.account_id, timeline.SOURCES, first.next)
        assert len(first.items) + len(rest.items) == 3 and not rest.next

    @pytest.mark.parametrize("after", ["x", "9" * 500, "{}", "a:b:c"])
    def test_a_place_that_nobody_gave_out_is_the_start(self, open_page, customer, after):
        customer.grant(50)
        assert len(open_page(after=after).context["timeline"].items) == 1


class TestExplaining:
    def test_adds_up(self, customer, staff):
        pack = customer.grant(100)
        customer.gift(10, days=1)
        customer.spend(25)
        customer.claw_back(pack, 40)
        customer.wait(days=2)
        services.expire_due(now=customer.now)
        url = reverse("admin:credits_account_explain", args=[customer.account_id])
        answer = staff.get(url)
        granted, *rest = answer.context["totals"]
        assert granted == sum(rest) == 110
        assert (
            answer.context["totals"][1]
            == queries.balance(account_id=customer.account_id, now=customer.now).available
        )
        for row in answer.context["rows"]:
            assert row["numbers"][0] == sum(row["numbers"][1:])

    def test_of_nobody_is_not_found(self, staff):
        for name in ("explain", "rehearse"):
            url = reverse(f"admin:credits_account_{name}", args=[10**6])
            assert staff.get(url).status_code == 404


class TestWhatIf:
    @pytest.fixture
    def ask(self, customer, staff):
        url = reverse("admin:credits_account_rehearse", args=[customer.account_id])
        return lambda **said: staff.post(url, said)

    def test_shows_the_lines_and_keeps_nothing(self, ask, customer):
        customer.grant(50, source_key="checkout:cs_1", amount_paid=500, currency="usd")
        customer.spend(20)
        paid = Payment.objects.create(payment_intent="pi_1", source_key="checkout:cs_1", amount=500)
        answer = ask(what="refund", payment=paid.pk)
        text = answer.content.decode()
        assert f"{signed(-30)} bulk" in text and "Owed: 0 before, 20 after." in text
        assert customer.available == 30 and customer.owed == 0

    def test_says_why_nothing_would_happen(self, ask):
        answer = ask(what="renewal")
        assert "The account has no plan." in answer.content.decode()

    @pytest.mark.parametrize(
        "said",
        [
            {"what": ""},
            {"what": "war"},
            {"what": "refund", "payment": "999"},
            {"what": "refund", "amount": "-1"},
            {"what": "refund", "amount": "9" * 30},
            {"what": "refund", "payment": "nul\0"},
        ],
    )
    def test_bad_input_is_refused(self, ask, said):
        assert ask(**said).status_code == 400


class TestPermissions:
    def test_who_may_look_sees_the_page_and_no_actions(self, sign_in, customer):
        customer.grant(10)
        client = sign_in("view_account", "view_ledgerentry")
        text = client.get(
            reverse("admin:credits_account_change", args=[customer.account_id])
        ).content.decode()
        assert "10 credits" in text and "+10" in text
        assert "/adjust" not in text and "/freeze" not in text
        assert "/explain" in text and "/what-if" in text

    def test_a_kind_is_shown_to_who_may_see_its_list(self, sign_in, customer):
        everything(customer)
        answer = sign_in("view_account", "view_notice").get(
            reverse("admin:credits_account_change", args=[customer.account_id])
        )
        assert {item.source.kind for item in answer.context["timeline"].items} == {"mails"}

    @pytest.mark.parametrize("name", ["change", "explain", "rehearse"])
    def test_others_are_refused(self, sign_in, customer, name):
        client = sign_in("view_notice")
        url = reverse(f"admin:credits_account_{name}", args=[customer.account_id])
        assert client.get(url).status_code == 403


@pytest.mark.parametrize("size", [1, 60])
def test_a_longer_history_needs_no_more_queries(
    open_page, customer, now, size, django_assert_num_queries
):
    for number in range(size):
        customer.grant(5, amount_paid=100, currency="usd")
        customer.spend(1)
        customer.hold(1)
        customer.adjust(1, Direction.ADD)
        event(customer, number)
    open_page()
    with django_assert_num_queries(31):
        open_page(at=f"{now:%Y-%m-%dT%H:%M}")


@pytest.mark.parametrize("name", rules.RULES)
def test_every_event_that_has_a_rule_is_told_in_words(customer, name):
    told = news.in_words(event(customer, type=name, state="ignored", reason="Not ours."))
    assert name not in told
    assert told.endswith(" (in_9): ignored. Not ours.")


def test_what_staff_did_to_what_is_told_in_words(customer):
    def told(action, **more):
        return in_words(StaffAction(actor="staff:sue@example.com", action=action, **more))

    asked = {"kind": "grant", "pool": "bulk", "amount": 1500}
    who = "sue@example.com"
    assert told("adjustment.waiting", after=asked, reason="Sorry") == (
        f"{who} asked for an adjustment (Add credits: 1,500 bulk): Sorry"
    )
    assert told("adjustment.posted", after={"kind": "extend", "lot": 1}) == (
        f"{who} adjusted what the account has (Let credits live longer)"
    )
    assert told("payment.refund", target="pi_1") == (
        f"{who} asked Stripe to refund a purchase (pi_1)"
    )


def test_what_staff_did_is_told_in_words(open_page, customer):
    for action in ("account.frozen", "something.new"):
        services.record_action(
            actor="staff:sue@example.com", action=action, reason="Stolen card", target="x",
            account_id=customer.account_id, now=customer.now,
        )  # fmt: skip
    text = open_page(kind="staff").content.decode()
    assert "sue@example.com froze the account: Stolen card" in text
    assert "sue@example.com something.new x: Stolen card" in text
