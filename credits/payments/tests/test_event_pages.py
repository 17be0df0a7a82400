"""The staff's pages of Stripe's events."""

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from credits.models import InboxEvent, LedgerEntry, StaffAction
from credits.payments.tests import events as stripe
from credits.payments.tests.test_by_hand import pack, stored

__all__ = ["pack", "stored"]

pytestmark = pytest.mark.django_db
State = InboxEvent.State
LIST = "admin:credits_inboxevent_changelist"
ACTIONS = ("try_out", "retry", "ignore", "mirror_again")


def signed_in(*permissions):
    user = get_user_model().objects.create_user("ann@example.com", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def staff(db):
    return signed_in("view_inboxevent", "change_inboxevent")


@pytest.fixture
def looker(db):
    return signed_in("view_inboxevent")


def page(name, event):
    return reverse(f"admin:credits_inboxevent_{name}", args=[event.pk])


def listed(client, **query):
    return list(client.get(reverse(LIST), query).context["cl"].result_list)


class TestThePage:
    def test_shows_the_lines_that_the_event_caused(self, staff, at_stripe, pack):
        at_stripe.apply()
        line = LedgerEntry.objects.get()
        html = staff.get(page("change", pack)).content.decode()
        assert reverse("admin:credits_ledgerentry_change", args=[line.pk]) in html
        assert "+50 bulk" in html

    def test_does_not_count_lines_of_another_event_of_that_moment(self, staff, at_stripe, stored):
        events = [
            stored("checkout.session.completed", stripe.session(number, offer="pack-50"))
            for number in "12"
        ]
        at_stripe.apply()
        assert LedgerEntry.objects.count() == 2
        html = [staff.get(page("change", event)).content.decode() for event in events]
        assert [text.count("+50 bulk") for text in html] == [1, 1]

    def test_shows_the_whole_traceback(self, staff, pack):
        InboxEvent.objects.update(state="failed", reason="Traceback\n  one\nValueError: <two>\n")
        html = staff.get(page("change", pack)).content.decode()
        assert "Traceback\n  one\nValueError: &lt;two&gt;" in html

    def test_says_in_words_what_a_dry_run_failed_at(self, staff, stored):
        session = stripe.session("1", offer="pack-50", amount_total=None)
        shown = staff.get(page("try_out", stored("checkout.session.completed", session)))
        sentence, *_, traceback = shown.context["lines"]
        assert sentence == "Failed: The checkout.session has no number amount_total."
        assert "Unreadable: The checkout.session" in traceback

    def test_shows_the_body_to_those_who_may_see_it(self, staff, pack, settings):
        assert "metadata" not in staff.get(page("change", pack)).content.decode()
        user = get_user_model().objects.get(email="ann@example.com")
        user.user_permissions.add(Permission.objects.get(codename="view_event_body"))
        assert "&quot;metadata&quot;: {" in staff.get(page("change", pack)).content.decode()

    def test_reads_the_event_once_whatever_asks_for_it(self, staff, pack):
        quoted = connection.ops.quote_name("credits_inboxevent")
        with CaptureQueriesContext(connection) as queries:
            staff.get(page("change", pack))
        of_event = [one["sql"] for one in queries if "FROM " + quoted in one["sql"]]
        assert len(of_event) == 1

    def test_leads_to_stripe(self, staff, pack, settings):
        html = staff.get(page("change", pack)).content.decode()
        assert f"https://dashboard.stripe.com/test/events/{pack.event_id}" in html
        settings.STRIPE_API_BASE = "http://127.0.0.1:9"
        assert "dashboard.stripe.com" not in staff.get(page("change", pack)).content.decode()


class TestTheList:
    def test_finds_what_waits_and_what_failed(self, staff, pack):
        for state in ("waiting", "failed"):
            InboxEvent.objects.update(state=state)
            assert listed(staff, state=state) == listed(staff, state="unsettled") == [pack]
            assert listed(staff, state="applied") == []

    def test_finds_by_age_and_type(self, staff, pack):
        assert listed(staff, older="15") == []
        InboxEvent.objects.update(received_at=timezone.now() - timedelta(minutes=16))
        assert listed(staff, older="15") == [pack]
        assert listed(staff, older="60") == []
        assert listed(staff, type="checkout.session.completed") == [pack]
        assert listed(staff, type="invoice.paid") == []

    def test_finds_what_the_mirror_has_given_up(self, staff, pack):
        assert listed(staff, state="unmirrored") == []
        InboxEvent.objects.update(next_mirror_at=None, mirror_error="boom")
        assert listed(staff, state="unmirrored") == [pack]

    def test_retries_many(self, staff, at_stripe, stored):
        for number in "123":
            stored("checkout.session.completed", stripe.session(number, offer="pack-50"))
        ids = list(InboxEvent.objects.values_list("pk", flat=True))
        data = {"action": "retry_all", "_selected_action": ids}
        answer = staff.post(reverse(LIST), data, follow=True)
        assert "3: Applied" in answer.content.decode()
        assert at_stripe.balance.available == 150
        assert StaffAction.objects.filter(action="inbox.retry").count() == 3


class TestADryRun:
    def test_is_shown_and_then_applied_from_the_same_page(self, staff, at_stripe, pack):
        url = page("try_out", pack)
        html = staff.get(url).content.decode()
        assert "+50 bulk" in html and "Mail to the customer: Purchase" in html
        assert at_stripe.balance.available == 0
        answer = staff.post(url, {"step": "apply"}, follow=True)
        assert "Applied." in answer.content.decode()
        assert at_stripe.balance.available == 50

    def test_says_why_nothing_would_be_written(self, staff, pack, account):
        account.stripe_customer_id = None
        account.save()
        html = staff.get(page("try_out", pack)).content.decode()
        assert "No account is linked" in html and "No ledger line is written" in html


class TestIgnoring:
    def test_wants_a_reason(self, staff, pack):
        url = page("ignore", pack)
        assert staff.post(url, {"reason": ""}).status_code == 400
        staff.post(url, {"reason": "A test of ours."})
        pack.refresh_from_db()
        assert (pack.state, pack.reason) == (State.IGNORED, "staff: A test of ours.")


@pytest.mark.parametrize("name", ACTIONS)
class TestWhoMayOnlyLook:
    def test_can_do_nothing(self, looker, pack, name):
        InboxEvent.objects.update(next_mirror_at=None, mirror_error="boom")
        before = InboxEvent.objects.values().get()
        url = page(name, pack)
        assert looker.get(url).status_code == 403
        assert looker.post(url, {"reason": "Because."}).status_code == 403
        assert InboxEvent.objects.values().get() == before
        assert url not in looker.get(page("change", pack)).content.decode()

    def test_it_is_offered_to_who_may(self, staff, pack, name):
        InboxEvent.objects.update(next_mirror_at=None, mirror_error="boom")
        assert page(name, pack) in staff.get(page("change", pack)).content.decode()


@pytest.mark.parametrize("name", ACTIONS)
def test_nothing_is_offered_for_an_event_that_is_settled(staff, at_stripe, pack, name):
    at_stripe.apply()
    InboxEvent.objects.update(mirrored_at=timezone.now(), next_mirror_at=None)
    assert page(name, pack) not in staff.get(page("change", pack)).content.decode()
    assert staff.post(page(name, pack), {"reason": "Because."}).status_code in (302, 403)
    assert not StaffAction.objects.exists()
