"""The front page of the admin: figures in words, and red lines that lead to their list."""

import html
import json
import re
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.urls import reverse
from django.utils import timezone

from credits import nightly_audit, services
from credits.audit import Totals
from credits.models import Adjustment, InboxEvent, Notice, Payment, Reconciliation, Subscription
from generation import queries
from generation.models import Generation, Worker
from generation.services import fail
from generation.tests.cast import finish, give, request, start

pytestmark = pytest.mark.django_db
EVERYTHING = (
    "view_ledgerentry",
    "view_subscription",
    "view_inboxevent",
    "view_reconciliation",
    "view_ledgeraudit",
    "view_adjustment",
    "view_payment",
    "view_notice",
    "view_generation",
)


@pytest.fixture
def now():
    return timezone.now()


def front_page(client):
    answer = client.get(reverse("admin:index"))
    assert answer.status_code == 200
    return answer


def checks(client):
    return {check.label: check for check in front_page(client).context["checks"]}


def red(client):
    return {label: check for label, check in checks(client).items() if check.wrong}


def event(now, number=1, **changes):
    return InboxEvent.objects.create(
        event_id=f"evt_{number}",
        type="invoice.paid",
        body="{}",
        created_at=now,
        **{"received_at": now, "next_attempt_at": now, "state": "waiting", **changes},
    )


@pytest.fixture
def worker(now):
    return Worker.objects.create(name="w", seen_at=now)


class TestFigures:
    def test_are_there_in_words(self, staff, customer, now):
        customer.grant(1250, amount_paid=900, currency="usd")
        customer.spend(250)
        page = front_page(staff())
        tiles = {tile.label: tile.value for tile in page.context["tiles"]}
        assert tiles["Money taken, 30 days"] == "$9.00"
        assert tiles["Credits outstanding"] == "1,000"
        assert tiles["Paid for, not delivered yet"] == "$7.20"
        today = page.context["days"][0]
        assert today["numbers"] == ["1,250", "0", "250", "0", "0"]
        assert today["money"] == "$9.00"

    def test_charts_draw_the_same(self, staff, customer):
        customer.grant(10, amount_paid=900, currency="jpy")
        customer.spend(4)
        text = front_page(staff()).content.decode()
        in_credits, in_money = (
            json.loads(html.unescape(found)) for found in re.findall(r'data-value="([^"]*)"', text)
        )
        last = {series["label"]: series["data"][-1] for series in in_credits["datasets"]}
        assert last == {"Sold": 10, "Given": 0, "Spent": -4, "Expired": 0, "Taken back": 0}
        assert in_money["datasets"][0]["data"][-1] == 900, "yen have no smaller unit"
        assert len(in_credits["labels"]) == 30

    def test_of_generations_say_how_many_and_how_long(self, staff, account, now):
        give(account, now, 100)
        for seconds in range(1, 21):
            began = now - timedelta(hours=1)
            finish(start(account, began), began + timedelta(seconds=seconds))
        request(account, now - timedelta(minutes=1))
        rows = {row["label"]: row for row in front_page(staff()).context["generations"]["rows"]}
        assert (rows["Done"]["count"], rows["Done"]["median"], rows["Done"]["p95"]) == (
            "20", "10.0 s", "19.0 s",
        )  # fmt: skip
        assert (rows["Queued"]["count"], rows["Queued"]["median"]) == ("1", "")

    def test_of_an_empty_site_are_there_too(self, staff):
        page = front_page(staff())
        assert "Nothing failed." in page.content.decode()
        assert "Nothing was paid for in these 30 days." in page.content.decode()
        assert page.context["tiles"][0].value == "–"  # noqa: RUF001


class TestRecentGenerations:
    @pytest.mark.parametrize(
        ("count", "median", "p95"), [(1, 1, 1), (2, 1, 2), (3, 2, 3), (100, 50, 95)]
    )
    def test_latencies_are_the_nearest_rank(self, account, now, count, median, p95):
        give(account, now, 1000)
        for seconds in range(count, 0, -1):
            finish(start(account, now), now + timedelta(seconds=seconds))
        recent = queries.recent(since=now)
        assert recent.median == {"succeeded": timedelta(seconds=median)}
        assert recent.p95 == {"succeeded": timedelta(seconds=p95)}

    def test_older_ones_do_not_count(self, account, now):
        give(account, now)
        request(account, now - timedelta(days=2))
        assert not queries.recent(since=now - timedelta(days=1)).counts


class TestRedLines:
    def test_there_are_none_where_all_is_well(self, staff, worker, customer, now):
        Reconciliation.objects.create(day=now.date(), started_at=now, finished_at=now, days=30)
        nightly_audit.record(Totals(), [], started_at=now)
        event(now)
        client = staff()
        assert red(client) == {}
        assert "All is well." in front_page(client).content.decode()

    def test_are_counted_at_the_top(self, staff, worker, now):
        event(now, state="failed")
        text = front_page(staff()).content.decode()
        assert "1 line needs a person." in text and "All is well." not in text

    def test_a_payment_for_an_account_that_was_deleted_before(self, staff, customer, worker, now):
        customer.wait(hours=-1)
        customer.grant(5, source_key="invoice:in_1", amount_paid=500, currency="usd")
        get_user_model().objects.filter(credit_account=customer.account_id).update(erased_at=now)
        customer.wait(hours=2)
        customer.grant(5, source_key="invoice:in_2", amount_paid=500, currency="usd")
        services.issue_retail_token(
            account_id=customer.account_id, source_key="checkout:cs_3:1", amount_paid=500,
            currency="usd", now=now,
        )  # fmt: skip
        for number, key in enumerate(["invoice:in_1", "invoice:in_2", "checkout:cs_3"], 1):
            Payment.objects.create(payment_intent=f"pi_{number}", source_key=key, amount=500)
        client = staff()
        found = red(client)["Payments for accounts that were deleted before"]
        rows = client.get(found.url).context["cl"].result_list
        assert found.value == "2"
        assert {row.payment_intent for row in rows} == {"pi_2", "pi_3"}
        Payment.objects.update(refunded=499)
        assert red(client)["Payments for accounts that were deleted before"].value == "2"
        Payment.objects.update(lost=1)
        assert "Payments for accounts that were deleted before" not in red(client)

    def test_an_event_that_failed(self, staff, worker, now):
        event(now, state="failed")
        found = red(staff())["Stripe's events that failed"]
        assert found.value == "1"
        assert found.url.endswith("/inboxevent/?state__exact=failed")

    def test_an_event_that_waits_too_long(self, staff, worker, now):
        event(now, 1, received_at=now - timedelta(minutes=20))
        event(now, 2)
        assert red(staff())["Stripe's events not applied yet"].value.startswith("2, the oldest")

    def test_an_event_that_is_not_mirrored(self, staff, worker, now):
        old = now - timedelta(minutes=20)
        event(now, 1, state="applied", next_attempt_at=None, received_at=old, next_mirror_at=now)
        event(
            now, 2, state="applied", next_attempt_at=None, next_mirror_at=None, mirror_error="odd"
        )
        client = staff()
        found = red(client)
        assert found["Stripe's events not mirrored yet"].value.startswith("1, the oldest")
        assert found["Stripe's events that could not be mirrored"].value == "1"
        for check, shown in zip(found.values(), ["evt_1", "evt_2"], strict=False):
            rows = client.get(check.url).context["cl"].result_list
            assert [row.event_id for row in rows] == [shown]

    def test_differences_from_stripe_and_failures_to_compare(self, staff, worker, now):
        night = Reconciliation.objects.create(
            day=now.date(), started_at=now, finished_at=now, days=30, found=3
        )
        client = staff()
        assert red(client)["Differences between Stripe and the books"].value.startswith("3, ")
        night.error = "no answer"
        night.save()
        assert red(client)["Differences between Stripe and the books"].value == "Could not compare"

    @pytest.mark.parametrize("days_ago", [0, 3])
    def test_books_that_do_not_balance_or_were_not_proved_lately(self, staff, now, days_ago):
        started = now - timedelta(days=days_ago)
        audit = nightly_audit.record(Totals(accounts=7), ["wrong"] * (not days_ago), started_at=now)
        type(audit).objects.update(started_at=started, finished_at=started)
        found = red(staff())["What does not balance in the books"]
        assert found.value.startswith("1 in 7" if not days_ago else "0 in 7")

    def test_adjustments_that_wait_and_mails_given_up(self, staff, account, worker, now):
        client = staff()
        Adjustment.objects.create(
            id="0" * 32, account=account, kind="grant", terms={}, weight=1, reason_code="x",
            reason="x", state="waiting", requested_by=account.user, requested_at=now,
        )  # fmt: skip
        Notice.objects.create(
            account=account, kind="welcome", fact_key="x", state="failed", created_at=now
        )
        assert {"Adjustments that wait for a second person", "Mails given up"} <= set(red(client))

    def test_no_worker_and_work_that_waits(self, staff, account, now):
        give(account, now)
        request(account, now - timedelta(minutes=10))
        assert {"Workers alive", "Oldest generation that waits for its start"} <= set(red(staff()))

    @pytest.mark.parametrize(
        ("ours", "theirs", "done", "is_red"),
        [(4, 0, 12, True), (4, 0, 13, False), (3, 0, 0, False), (0, 9, 0, False)],
    )
    def test_a_model_that_fails_one_in_four(
        self, staff, account, worker, now, ours, theirs, done, is_red
    ):
        give(account, now, 20)
        for code in ["backend_unavailable"] * ours + ["refused"] * theirs:
            fail(claimed=start(account, now), code=code, now=now, permanent=True)
        for _number in range(done):
            finish(start(account, now), now)
        client = staff()
        label = "Generations of the last hour that the model failed"
        assert checks(client)[label].value == f"{ours} of {ours + theirs + done}"
        assert (label in red(client)) == is_red

    def test_each_leads_to_a_list_that_opens(self, staff, customer, now):
        client = staff()
        for check in checks(client).values():
            assert client.get(check.url).status_code == 200, check.label

    def test_each_error_leads_to_its_generations(self, staff, account, now):
        give(account, now)
        failed, other = start(account, now), request(account, now)
        services.release(hold_id=failed.hold_id, now=now)
        Generation.objects.filter(pk=failed.pk).update(
            status="failed", error_code="backend_down", finished_at=now, lease_until=None
        )
        client = staff()
        (error,) = front_page(client).context["generations"]["errors"]
        listed = client.get(error["url"]).content.decode()
        assert error["count"] == "1"
        assert str(failed.pk) in listed and str(other.pk) not in listed

    def test_subscribers_are_counted(self, staff, account, now):
        for number, status in enumerate(["active", "past_due", "canceled"]):
            Subscription.objects.create(
                subscription_id=f"sub_{number}", account=account, status=status, as_of=now
            )
        assert checks(staff())["Active subscribers"].value == "2"


class TestTheListsBehindTheLines:
    """A line that says how many leads to just so many."""

    def listed(self, client, url):
        return client.get(url).context["cl"].result_count

    def test_have_what_was_counted(self, staff, account, now):
        for number, status in enumerate(["active", "past_due", "canceled"]):
            Subscription.objects.create(
                subscription_id=f"sub_{number}", account=account, status=status, as_of=now
            )
        done = {"next_attempt_at": None, "state": "applied"}
        event(now, 1, state="failed")
        event(now, 2, state="waiting")
        event(now, 3, **done, next_mirror_at=now)
        event(now, 4, **done, next_mirror_at=None, mirror_error="odd")
        event(now, 5, **done, next_mirror_at=None, mirrored_at=now)
        client = staff()
        counted = [check for check in checks(client).values() if check.value[:1] in "1234"]
        assert len(counted) == 5
        for check in counted:
            number = int(check.value.partition(",")[0])
            assert self.listed(client, check.url) == number, check.label

    def test_of_generations_have_only_those_of_a_day(self, staff, account, now):
        give(account, now)
        for age in (timedelta(days=2), timedelta(0)):
            finish(start(account, now - age), now - age)
        client = staff()
        rows = front_page(client).context["generations"]["rows"]
        assert [self.listed(client, row["url"]) for row in rows if row["count"] != "0"] == [1]


class TestWhoSeesWhat:
    def test_who_may_see_nothing_sees_nothing(self, staff, customer):
        customer.grant(10, amount_paid=900, currency="usd")
        page = front_page(staff("view_user"))
        assert page.context["checks"] == []
        assert "$9.00" not in page.content.decode()

    def test_reading_is_enough(self, staff, customer):
        customer.grant(10, amount_paid=900, currency="usd")
        page = front_page(staff(*EVERYTHING))
        assert "$9.00" in page.content.decode()
        assert len(page.context["checks"]) == 13

    @pytest.mark.parametrize("permission", EVERYTHING)
    def test_a_part_is_shown_with_the_list_behind_it(self, staff, permission):
        client = staff(permission)
        for check in checks(client).values():
            assert client.get(check.url).status_code == 200


def test_hostile_texts_stay_texts(staff, account, now):
    give(account, now)
    claimed = start(account, now)
    type(claimed).objects.filter(pk=claimed.pk).update(
        status="failed", error_code="<script>alert(1)</script>", finished_at=now, lease_until=None
    )
    services.release(hold_id=claimed.hold_id, now=now)
    text = front_page(staff()).content.decode()
    assert "<script>alert(1)" not in text and "&lt;script&gt;alert(1)" in text


@pytest.mark.parametrize("size", [1, 25])
def test_a_larger_site_needs_no_more_queries(
    staff, account, customer, now, size, django_assert_num_queries
):
    client = staff()
    give(account, now, 100)
    for number in range(size):
        customer.grant(5, amount_paid=100 + number, currency="usd")
        event(now, number, state="failed")
        finish(start(account, now), now + timedelta(seconds=number))
    front_page(client)
    with django_assert_num_queries(26):
        front_page(client)
