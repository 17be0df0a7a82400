"""The staff's lists: searched, filtered, counted, paged and exported without reading a table."""

import csv
import io

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.urls import reverse

from credits import services
from credits.models import (
    CreditLot,
    Hold,
    LedgerEntry,
    Payment,
    PromotionalCode,
    Refund,
    RetailToken,
    StaffAction,
)
from credits.staff import lists
from credits.staff.lists import BookList

pytestmark = pytest.mark.django_db
LISTS = [page for page in admin.site._registry.values() if isinstance(page, BookList)]


@pytest.fixture
def staff(db):
    user = get_user_model().objects.create_superuser("owner@example.com", "pw")
    client = Client()
    client.force_login(user)
    return client


def listed(client, model, **query):
    page = client.get(reverse(f"admin:credits_{model}_changelist"), query)
    return list(page.context["cl"].result_list)


def exported(client, model, **query):
    answer = client.get(reverse(f"admin:credits_{model}_export"), query)
    text = b"".join(answer.streaming_content).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


class TestASearch:
    """Two customers; what is found is the first one's alone."""

    @pytest.fixture(autouse=True)
    def other(self, new_customer, customer):
        other = new_customer()
        other.grant(7)
        return other

    @pytest.mark.parametrize("form", ["{email}", "{EMAIL}", "{account}", "cus_1", " cus_1 "])
    @pytest.mark.parametrize("model", ["ledgerentry", "creditlot", "hold", "retailtoken"])
    def test_by_customer(self, staff, customer, other, form, model):
        services.link_customer(
            account_id=customer.account_id, customer_id="cus_1", now=customer.now
        )
        for one in (customer, other):
            one.grant(50)
            one.spend(1)
            services.issue_retail_token(
                account_id=one.account_id, source_key=one.key("cs"), now=one.now
            )
        email = get_user_model().objects.get(credit_account=customer.account_id).email
        word = form.format(email=email, EMAIL=email.upper(), account=customer.account_id)
        found = listed(staff, model, q=word)
        assert {row.account_id for row in found} == {customer.account_id}

    def test_by_purchase(self, staff, customer):
        lot = customer.grant(50, source_key="invoice:in_1")
        customer.spend(3)
        Payment.objects.create(payment_intent="pi_1", source_key=lot.source_key, amount=500)
        for word in ("in_1", "invoice:in_1", "pi_1", str(lot.pk)):
            assert listed(staff, "creditlot", q=word) == [lot]
            assert len(listed(staff, "ledgerentry", q=word)) == 2, word
        assert listed(staff, "payment", q="in_1") == listed(staff, "payment", q="pi_1")
        assert len(listed(staff, "payment", q="in_1")) == 1

    def test_by_account_and_key(self, staff, customer):
        customer.grant(50)
        hold = customer.hold(1, idempotency_key="k1")
        customer.hold(1, idempotency_key="k2")
        assert listed(staff, "hold", q=f"{customer.account_id} k1") == [hold]

    def test_by_the_session_of_single_generations(self, staff, customer):
        for piece in (1, 2):
            services.issue_retail_token(
                account_id=customer.account_id,
                source_key=f"checkout:cs_9:{piece}",
                now=customer.now,
            )
        assert len(listed(staff, "retailtoken", q="cs_9")) == 2

    @pytest.mark.parametrize("word", ["nobody@example.com", "cus_none", "0", "9" * 30, "in_x", "x"])
    def test_of_nothing_finds_nothing(self, staff, customer, word):
        customer.grant(50)
        for model in ("ledgerentry", "creditlot", "hold", "retailtoken", "payment", "notice"):
            assert listed(staff, model, q=word) == []

    @pytest.mark.parametrize("shown", LISTS, ids=lambda shown: shown.opts.model_name)
    def test_never_asks_with_like_and_never_joins(
        self, staff, shown, customer, django_assert_max_num_queries
    ):
        url = reverse(f"admin:{shown.opts.app_label}_{shown.opts.model_name}_changelist")
        for word in ("customer1@example.com", "in_1", "cs_1", "pi_1", "evt_1", "a-key", "77"):
            with django_assert_max_num_queries(12) as queries:
                staff.get(url, {"q": word})
            asked = " ".join(query["sql"].upper() for query in queries.captured_queries)
            assert " LIKE " not in asked and "UPPER(" not in asked and "OUTER JOIN" not in asked


class TestTheDays:
    @pytest.fixture
    def three(self, customer):
        lots = []
        for _ in range(3):
            lots.append(customer.grant(1))
            customer.wait(days=1)
        return lots

    def test_are_both_included(self, staff, three):
        found = listed(staff, "creditlot", since="2026-03-10", until="2026-03-11")
        assert found == [three[1], three[0]]
        assert listed(staff, "creditlot", since="2026-03-12") == [three[2]]

    def test_that_are_none_are_said_to_be(self, staff, three):
        url = reverse("admin:credits_creditlot_changelist")
        answer = staff.get(url, {"since": "31.3.", "until": "9999-12-31"})
        assert "is not a day" in answer.content.decode()
        assert len(answer.context["cl"].result_list) == 3


class TestPages:
    def test_end_after_so_many_rows_and_say_so(self, staff, customer, monkeypatch):
        monkeypatch.setattr(lists, "MOST", 4)
        monkeypatch.setattr(lists.BookList, "list_per_page", 2)
        customer.grant(50)
        for _ in range(6):
            customer.spend(1)
        url = reverse("admin:credits_ledgerentry_changelist")
        answer = staff.get(url, {"kind__exact": "hold", "p": 2})
        assert "more than 4" in answer.content.decode()
        assert [line.sequence for line in answer.context["cl"].result_list] == [5, 4]
        assert staff.get(url, {"kind__exact": "hold", "p": 3}).status_code == 302

    def test_of_everything_are_estimated_where_the_database_can(self, staff, customer, monkeypatch):
        if connection.vendor != "postgresql":
            pytest.skip("only PostgreSQL keeps estimates")
        monkeypatch.setattr(lists, "MOST", 4)
        customer.grant(50)
        for _ in range(6):
            customer.spend(1)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE credits_ledgerentry")
        answer = staff.get(reverse("admin:credits_ledgerentry_changelist"))
        assert "about 7" in answer.content.decode()

    def test_come_in_one_order(self, staff, customer):
        for _ in range(3):
            customer.grant(1)
            customer.wait(minutes=1)
        url = reverse("admin:credits_ledgerentry_changelist")
        asked = staff.get(url, {"o": "6.3"}).context["cl"].result_list
        assert [line.sequence for line in asked] == [3, 2, 1]

    @pytest.mark.parametrize("shown", LISTS, ids=lambda shown: shown.opts.model_name)
    def test_have_an_order_that_ends_with_the_id(self, shown):
        assert shown.ordering[-1] == "-pk"
        if shown.moment:
            begins = [index.fields[0].lstrip("-") for index in shown.model._meta.indexes]
            assert shown.moment in begins, "the order has no index"

    def test_have_no_counts_beside_the_filters(self, staff, customer):
        url = reverse("admin:credits_ledgerentry_changelist")
        assert staff.get(url, {"_facets": "True"}).context["cl"].add_facets is False


@pytest.mark.parametrize("model", ["ledgerentry", "creditlot", "hold", "retailtoken"])
def test_longer_lists_need_the_same_queries(staff, new_customer, model, django_assert_num_queries):
    def more(number):
        for _ in range(number):
            customer = new_customer()
            customer.grant(5)
            customer.spend(1)
            services.issue_retail_token(
                account_id=customer.account_id, source_key=customer.key("cs"), now=customer.now
            )

    url = reverse(f"admin:credits_{model}_changelist")
    more(1)
    staff.get(url)
    expected = 6 if connection.vendor == "postgresql" else 5  # the estimate is asked for
    with django_assert_num_queries(expected + 1):
        staff.get(url)
    more(12)
    with django_assert_num_queries(expected + 1):
        staff.get(url)


class TestAFile:
    def test_has_what_the_filters_leave_in_the_lists_order(self, staff, customer, monkeypatch):
        monkeypatch.setattr(lists, "CHUNK", 2)
        customer.grant(50)
        holds = []
        for _ in range(5):  # two of them at the same moment
            holds.append(customer.spend(1))
            customer.wait(minutes=len(holds) % 2)
        rows = exported(staff, "ledgerentry", kind__exact="hold")
        assert [row["hold_id"] for row in rows] == [str(hold.pk) for hold in reversed(holds)]
        assert rows[0]["created_at"] == "2026-03-10T12:02:00+00:00"

    def test_has_no_formulas(self, staff, customer):
        customer.grant(50, source_key="=HYPERLINK(1)")
        assert exported(staff, "creditlot")[0]["source_key"] == "'=HYPERLINK(1)"

    def test_is_read_bit_by_bit(self, staff, customer, monkeypatch, django_assert_num_queries):
        monkeypatch.setattr(lists, "CHUNK", 2)
        for _ in range(6):
            customer.grant(1)
        answer = staff.get(reverse("admin:credits_creditlot_export"))
        with django_assert_num_queries(2):  # the rows, and whose they are
            next(answer.streaming_content)  # the head
            assert b",1,1," in next(answer.streaming_content)

    def test_names_the_customers_as_the_list_does(self, staff, customer, new_customer, monkeypatch):
        monkeypatch.setattr(lists, "CHUNK", 2)
        for one in (customer, new_customer(), customer):
            one.grant(1)
        rows = exported(staff, "creditlot")
        shown = listed(staff, "creditlot")
        assert [row["customer"] for row in rows] == [str(lot.account.user) for lot in shown]
        assert len({row["customer"] for row in rows}) == 2
        assert list(rows[0]).index("customer") == list(rows[0]).index("account_id") + 1

    def test_has_no_customer_where_there_is_none(self, staff, customer):
        services.record_action(actor="cli:ann", action="x", target="", reason="", now=customer.now)
        assert {row["customer"] for row in exported(staff, "staffaction")} == {""}

    def test_of_payments_says_whose_and_in_which_currency(self, staff, customer):
        lot = customer.grant(50, source_key="invoice:in_1", amount_paid=500, currency="eur")
        paid = Payment.objects.create(
            payment_intent="pi_1", source_key=lot.source_key, amount=500, refunded=200
        )
        Refund.objects.create(payment=paid, refund_id="re_1", amount=200, made_at=customer.now)
        (row,) = exported(staff, "payment")
        assert (row["amount"], row["refunded"], row["currency"]) == ("500", "200", "eur")
        assert row["customer"] == str(lot.account.user)
        (row,) = exported(staff, "refund")
        assert (row["amount"], row["currency"]) == ("200", "eur")

    def test_is_in_the_audit_log(self, staff, customer):
        customer.grant(50)
        exported(staff, "creditlot", q="1")
        action = StaffAction.objects.get()
        assert (action.actor, action.action) == ("staff:owner@example.com", "list.export")
        assert (action.target, action.reason) == ("credits.creditlot", "q=1")

    def test_is_not_for_those_who_may_not_see_the_list(self, customer, client):
        user = get_user_model().objects.create_user("ann@example.com", is_staff=True)
        user.user_permissions.add(Permission.objects.get(codename="view_hold"))
        client.force_login(user)
        assert client.get(reverse("admin:credits_creditlot_export")).status_code == 403
        assert client.get(reverse("admin:credits_hold_export")).status_code == 200


@pytest.mark.parametrize("shown", LISTS, ids=lambda shown: shown.opts.model_name)
def test_nobody_adds_changes_or_deletes(staff, rf, shown):
    request = rf.get("/")
    request.user = get_user_model().objects.get(email="owner@example.com")
    assert shown.has_add_permission(request) == (shown.model is PromotionalCode)  # made, not edited
    assert not shown.has_change_permission(request)
    assert not shown.has_delete_permission(request)
    assert "delete_selected" not in shown.get_actions(request)


def test_the_books_are_such_lists():
    assert {CreditLot, Hold, LedgerEntry, RetailToken} <= {page.model for page in LISTS}
