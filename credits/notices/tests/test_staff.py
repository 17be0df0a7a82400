"""What needs a person is mailed to staff once, not every minute."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.core import mail

from credits import notices, services
from credits.models import InboxEvent, Notice
from credits.notices import outbox, staff
from credits.tests.race import race

pytestmark = pytest.mark.django_db
MINUTES = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def addresses(settings):
    settings.STAFF_EMAILS = ["billing@example.com", "owner@example.com"]
    settings.SITE_URL = "https://shop.example.com"


@pytest.fixture
def event(now):
    def event(number=1, state="waiting", attempts=1, reason="No account is linked.", **changes):
        return InboxEvent.objects.create(
            event_id=f"evt_{number}",
            type="invoice.paid",
            body="{}",
            created_at=now,
            received_at=now,
            state=state,
            attempts=attempts,
            next_attempt_at=now,
            reason=reason,
            **changes,
        )

    return event


class TestAnEvent:
    def test_that_waits_is_told_after_a_quarter_of_an_hour(self, event, now):
        row = event()
        assert staff.alert_staff(now=now + 14 * MINUTES) == 0
        assert staff.alert_staff(now=now + 15 * MINUTES) == 1
        [message] = mail.outbox
        assert message.to == ["billing@example.com", "owner@example.com"]
        assert message.subject == "[billing] invoice.paid is waiting: No account is linked."
        link = f"https://shop.example.com/admin/credits/inboxevent/{row.pk}/change/"
        assert link in message.body
        assert "https://shop.example.com/admin/credits/inboxevent/?state=unsettled" in message.body

    @pytest.mark.parametrize(("attempts", "times"), [(2, 0), (3, 1)])
    def test_that_fails_is_told_with_the_third_failure(self, event, now, attempts, times):
        event(state="failed", attempts=attempts, reason="Traceback …\n\nKeyError: 'id'\n")
        assert staff.alert_staff(now=now) == times
        assert [("KeyError: 'id'" in m.subject) for m in mail.outbox] == [True] * times

    def test_is_told_once(self, event, now):
        row = event()
        for minutes in range(15, 60):
            row.attempts += 1
            row.save()
            staff.alert_staff(now=now + minutes * MINUTES)
        assert len(mail.outbox) == 1

    def test_that_was_applied_meanwhile_is_not_told(self, event, now):
        event()
        InboxEvent.objects.update(state="applied", next_attempt_at=None)
        assert staff.alert_staff(now=now + 20 * MINUTES) == 0

    def test_many_are_one_mail(self, event, now):
        for number in range(5):
            event(number)
        assert staff.alert_staff(now=now + 20 * MINUTES) == 5
        [message] = mail.outbox
        assert message.subject == "[billing] 5 things need a person"
        assert message.body.count("/change/") == 5

    def test_more_than_fit_into_one_mail_follow_in_the_next(self, event, now, monkeypatch):
        monkeypatch.setattr(staff, "AT_ONCE", 3)
        for number in range(5):
            event(number)
        told = [staff.alert_staff(now=now + minute * MINUTES) for minute in (20, 21, 22)]
        assert told == [3, 2, 0]

    def test_waits_for_somebody_to_be_told(self, event, now, settings):
        settings.STAFF_EMAILS = []
        event()
        assert staff.alert_staff(now=now + 20 * MINUTES) == 0
        assert not Notice.objects.exists()
        settings.STAFF_EMAILS = ["late@example.com"]
        assert staff.alert_staff(now=now + 20 * MINUTES) == 1


def test_a_mail_that_was_given_up_is_told_to_staff(owe, now, mail_server):
    mail_server.answer_to_recipient = b"550 no such user"
    owe()
    for hours in range(60):
        outbox.send_due(now=now + timedelta(hours=hours))
    mail_server.answer_to_recipient = b"250 fine"
    assert staff.alert_staff(now=now + timedelta(days=3)) == 1
    [message] = mail_server.taken
    assert "“Welcome” to account" in message.get_content()
    assert "/admin/credits/notice/" in message.get_content()
    assert staff.alert_staff(now=now + timedelta(days=4)) == 0


def test_a_mail_server_that_is_away_delays_what_staff_is_told(event, now, mail_server):
    mail_server.greeting = b"421 closed"
    event()
    assert staff.alert_staff(now=now + 15 * MINUTES) == 0
    mail_server.greeting = b"220 ready"
    assert staff.alert_staff(now=now + 16 * MINUTES) == 1
    assert len(mail_server.taken) == 1


def test_the_stream_of_customers_mails_leaves_them_alone(now):
    notices.tell_staff(fact_key="a", text="Look", path="/admin/", now=now)
    assert outbox.send_due(now=now) == 0
    assert staff.alert_staff(now=now) == 1


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_tell_each_thing_once(event, now, mail_server):
    for number in range(20):
        event(number)
    race(*[lambda: staff.alert_staff(now=now + 20 * MINUTES)] * 3)
    told = "".join(message.get_content() for message in mail_server.taken)
    assert told.count("/change/") == 20


class TestAnAdjustment:
    def test_that_waits_for_a_second_person_is_told_once(self, account, now, django_user_model):
        ann = django_user_model.objects.create_user("ann@example.com", is_staff=True)
        waiting = services.request_adjustment(
            form_id=uuid4(), account_id=account.pk, kind="grant",
            terms={"pool": "bulk", "amount": 500}, reason_code="other", reason="x",
            user_id=ann.pk, limit=0, sequence=0, now=now,
        )  # fmt: skip
        assert staff.alert_staff(now=now) == 1
        assert staff.alert_staff(now=now) == 0
        [message] = mail.outbox
        assert "An adjustment of 500 credits waits" in message.subject
        assert f"/admin/credits/adjustment/{waiting.pk}/decide" in message.body
