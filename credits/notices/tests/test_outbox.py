"""A notice is sent once, whatever happens to the server, the worker and the others at work."""

from datetime import timedelta
from threading import Event

import pytest
from django.core import mail
from django.db import transaction

from credits import notices
from credits.models import Notice
from credits.notices import mails, outbox
from credits.notices.tests.conftest import MailServer
from credits.tests.race import meet_before, race

pytestmark = pytest.mark.django_db
State = Notice.State


class TestQueueing:
    def test_one_fact_is_told_once(self, owe, now):
        owe("fact:1")
        owe("fact:1")
        owe("fact:2")
        assert outbox.send_due(now=now) == 2
        assert len(mail.outbox) == 2

    def test_is_undone_with_the_booking(self, owe, now):
        with transaction.atomic():
            owe()
            transaction.set_rollback(True)
        assert outbox.send_due(now=now) == 0

    def test_sends_nothing_by_itself(self, owe):
        owe()
        assert mail.outbox == []
        assert Notice.objects.get().state == State.PENDING


class TestSending:
    def test_goes_to_the_address_that_the_user_has_now(self, owe, account, now):
        owe()
        account.user.email = "new@example.com"
        account.user.save()
        outbox.send_due(now=now)
        [message] = mail.outbox
        assert message.to == ["new@example.com"]
        notice = Notice.objects.get()
        assert (notice.state, notice.sent_at, notice.next_attempt_at) == (State.SENT, now, None)

    def test_is_not_repeated(self, owe, now):
        owe()
        outbox.send_due(now=now)
        owe()
        assert outbox.send_due(now=now + timedelta(days=1)) == 0
        assert len(mail.outbox) == 1

    def test_skips_users_who_cannot_sign_in(self, owe, account, now):
        owe()
        account.user.is_active = False
        account.user.save()
        outbox.send_due(now=now)
        assert mail.outbox == []
        assert Notice.objects.get().state == State.SKIPPED

    def test_a_line_break_in_a_name_makes_no_header(self, owe, now):
        owe(kind=Notice.Kind.PLAN_CHANGED, name="Pro\r\nBcc: all@example.com",
            credits=1, paid=1, currency="usd")  # fmt: skip
        outbox.send_due(now=now)
        assert mail.outbox[0].subject == "Your plan is now Pro Bcc: all@example.com"


class TestAMailServer:
    def test_gets_both_parts_over_the_wire(self, owe, now, mail_server: MailServer):
        owe()
        assert outbox.send_due(now=now) == 1
        [message] = mail_server.taken
        assert message["Subject"] == "Welcome"
        assert [part.get_content_type() for part in message.iter_parts()] == [
            "text/plain",
            "text/html",
        ]

    def test_is_greeted_once_for_many_mails(self, owe, now, mail_server):
        for number in range(5):
            owe(f"fact:{number}")
        outbox.send_due(now=now)
        assert (len(mail_server.taken), mail_server.sessions) == (5, 1)

    @pytest.mark.parametrize(
        "trouble",
        [
            {"greeting": b"421 closed for today"},
            {"answer_to_recipient": b"450 later"},
            {"hangs_up_after_data": True},
        ],
        ids=str,
    )
    def test_that_fails_delays_a_mail_and_does_not_lose_it(self, owe, now, mail_server, trouble):
        for name, value in trouble.items():
            setattr(mail_server, name, value)
        owe()
        assert outbox.send_due(now=now) == 0
        notice = Notice.objects.get()
        assert (notice.state, notice.attempts) == (State.PENDING, 1)
        assert notice.error
        assert notice.next_attempt_at == now + timedelta(minutes=1)

        mail_server.greeting, mail_server.answer_to_recipient = b"220 ready", b"250 fine"
        mail_server.hangs_up_after_data = False
        assert outbox.send_due(now=now + timedelta(seconds=59)) == 0
        assert outbox.send_due(now=now + timedelta(minutes=1)) == 1
        assert len(mail_server.taken) == 1

    def test_that_is_away_is_not_asked_for_every_mail_of_a_round(self, owe, now, mail_server):
        mail_server.greeting = b"421 closed"
        for number in range(5):
            owe(f"fact:{number}")
        outbox.send_due(now=now)
        assert Notice.objects.filter(attempts=1).count() == 1

    def test_that_refuses_one_address_does_not_hold_up_the_others(
        self, owe, account, new_account, now, mail_server
    ):
        owe()
        mail_server.answer_to_recipient = b"550 no such user"
        outbox.send_due(now=now)
        mail_server.answer_to_recipient = b"250 fine"
        notices.queue(
            account_id=new_account().pk, kind=Notice.Kind.WELCOME, fact_key="other", now=now
        )
        assert outbox.send_due(now=now) == 1

    def test_pauses_grow_and_end(self, owe, now, mail_server):
        mail_server.greeting = b"421 closed"
        owe()
        moment, pauses = now, []
        while (notice := Notice.objects.get(account__isnull=False)).state == State.PENDING:
            pauses.append(notice.next_attempt_at - moment)
            moment = notice.next_attempt_at
            outbox.send_due(now=moment)
        assert notice.attempts == outbox.MOST_ATTEMPTS
        assert pauses[1:] == sorted(pauses[1:])
        assert pauses[-1] == outbox.LONGEST_PAUSE
        assert moment - now > timedelta(days=1)
        assert "421" in notice.error

    def test_what_was_given_up_is_sent_when_staff_says_so(self, owe, now):
        owe()
        notice = Notice.objects.get()
        assert not notices.send_again(notice_id=notice.pk, actor="staff:a", now=now)
        Notice.objects.update(state=State.FAILED, next_attempt_at=None, attempts=16)
        assert notices.send_again(notice_id=notice.pk, actor="staff:a", now=now)
        assert outbox.send_due(now=now) == 1
        assert not notices.send_again(notice_id=notice.pk, actor="staff:a", now=now)
        assert len(mail.outbox) == 1


class TestAWorker:
    def test_that_dies_while_sending_is_followed_by_another(self, owe, now):
        owe()
        assert outbox.claim(Notice.objects.get().pk, now=now)  # and is never heard of again
        assert outbox.send_due(now=now + outbox.LEASE - timedelta(seconds=1)) == 0
        assert outbox.send_due(now=now + outbox.LEASE) == 1
        assert len(mail.outbox) == 1

    def test_that_comes_back_too_late_does_not_change_what_another_did(self, owe, now):
        owe()
        late = outbox.claim(Notice.objects.get().pk, now=now)
        outbox.send_due(now=now + outbox.LEASE)
        outbox.postpone(late, RuntimeError("slow"), now + outbox.LEASE)
        assert Notice.objects.get().state == State.SENT


@pytest.mark.django_db(transaction=True)
class TestTwoWorkersAtOnce:
    def test_send_once(self, owe, now, mail_server):
        for number in range(10):
            owe(f"fact:{number}")
        assert sum(race(*[lambda: outbox.send_due(now=now)] * 4)) == 10
        assert len(mail_server.taken) == 10

    def test_send_twice_without_the_claim(self, owe, now, mail_server, monkeypatch):
        def look_only(pk, *, now):
            return Notice.objects.select_related("account__user").get(pk=pk)

        monkeypatch.setattr(outbox, "claim", look_only)
        meet_before(monkeypatch, 2, outbox, "_deal_with")
        owe()
        race(*[lambda: outbox.send_due(now=now)] * 2)
        assert len(mail_server.taken) == 2

    def test_the_network_is_used_without_a_transaction(self, owe, now, monkeypatch):
        seen = Event()

        def message_of(notice, connection):
            assert not transaction.get_connection().in_atomic_block
            seen.set()
            return original(notice, connection)

        original = mails.message_of
        monkeypatch.setattr(mails, "message_of", message_of)
        owe()
        assert outbox.send_due(now=now) == 1
        assert seen.is_set()
