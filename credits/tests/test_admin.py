"""Staff reads everything and changes nothing but by adding to the books."""

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core import mail
from django.urls import reverse
from django.utils import timezone

from credits import notices, services
from credits.models import InboxEvent, Notice, Offer, Pool
from credits.notices import outbox

pytestmark = pytest.mark.django_db
READ_ONLY = ["account", "creditlot", "hold", "ledgerentry", "retailtoken"]


@pytest.fixture
def staff(client):
    user = get_user_model().objects.create_superuser("owner@example.com", "pw")
    client.force_login(user)
    return client


@pytest.fixture
def busy_account(account, now):
    services.grant(
        account_id=account.pk, pool=Pool.BULK, amount=50, source_key="invoice:in_1", now=now
    )
    services.spend(account_id=account.pk, amount=3, reference="r", idempotency_key="k", now=now)
    services.issue_retail_token(account_id=account.pk, source_key="checkout:cs_1", now=now)
    return account


@pytest.mark.parametrize("model", READ_ONLY)
class TestEveryBook:
    def test_is_listed_and_searched(self, staff, busy_account, model):
        url = reverse(f"admin:credits_{model}_changelist")
        assert staff.get(url).status_code == 200
        found = staff.get(url, {"q": str(busy_account.pk)}, follow=True)
        assert found.status_code == 200

    def test_opens_read_only(self, staff, busy_account, model):
        from django.apps import apps

        row = apps.get_model("credits", model).objects.first()
        url = reverse(f"admin:credits_{model}_change", args=[row.pk])
        assert staff.get(url).status_code == 200
        assert staff.post(url, {"amount": 1}).status_code == 403

    def test_cannot_be_added_or_deleted_by_a_superuser(self, staff, busy_account, model):
        from django.apps import apps

        row = apps.get_model("credits", model).objects.first()
        assert staff.get(reverse(f"admin:credits_{model}_add")).status_code == 403
        delete = reverse(f"admin:credits_{model}_delete", args=[row.pk])
        assert staff.post(delete, {"post": "yes"}).status_code == 403
        listing = staff.get(reverse(f"admin:credits_{model}_changelist"))
        assert b"delete_selected" not in listing.content


class TestTheInbox:
    @pytest.fixture
    def event(self, busy_account, now):
        return InboxEvent.objects.create(
            event_id="evt_1",
            type="invoice.paid",
            object_id="in_1",
            body="{}",
            created_at=now,
            received_at=now,
            next_attempt_at=now,
            state=InboxEvent.State.FAILED,
            reason="Traceback\n  ...\ncredits.Unreadable: The invoice has no customer.\n",
        )

    def test_says_why_an_event_has_failed(self, staff, event):
        listing = staff.get(reverse("admin:credits_inboxevent_changelist"), {"state": "failed"})
        assert b"The invoice has no customer." in listing.content
        assert b"Unreadable" not in listing.content, "a name for programmers"

    def test_is_searched_by_event_and_object(self, staff, event):
        url = reverse("admin:credits_inboxevent_changelist")
        for searched, found in [("evt_1", True), ("in_1", True), ("in_2", False)]:
            page = staff.get(url, {"q": searched})
            assert bool(page.context["cl"].result_list) is found

    def test_cannot_be_changed(self, staff, event):
        url = reverse("admin:credits_inboxevent_change", args=[event.pk])
        assert staff.get(url).status_code == 200
        assert staff.post(url, {"state": "applied"}).status_code == 403


class TestTheNotices:
    @pytest.fixture
    def notice(self, busy_account, now):
        notices.queue(account_id=busy_account.pk, kind="welcome", fact_key="user:1", now=now)
        Notice.objects.update(state="failed", next_attempt_at=None, error="550 no such user")
        return Notice.objects.get()

    def test_say_why_one_was_given_up(self, staff, notice):
        listing = staff.get(reverse("admin:credits_notice_changelist"), {"state": "failed"})
        assert b"550 no such user" in listing.content
        assert (
            staff.get(reverse("admin:credits_notice_change", args=[notice.pk])).status_code == 200
        )

    def test_cannot_be_changed(self, staff, notice):
        url = reverse("admin:credits_notice_change", args=[notice.pk])
        assert staff.post(url, {"state": "sent"}).status_code == 403

    def test_are_sent_again_when_staff_says_so(self, staff, notice, now):
        url = reverse("admin:credits_notice_changelist")
        staff.post(url, {"action": "send_again", "_selected_action": [notice.pk]})
        outbox.send_due(now=timezone.now())
        assert [message.subject for message in mail.outbox] == ["Welcome"]

    def test_are_not_sent_again_by_who_may_only_look(self, client, notice):
        viewer = get_user_model().objects.create_user("looks@example.com", is_staff=True)
        viewer.user_permissions.add(Permission.objects.get(codename="view_notice"))
        client.force_login(viewer)
        url = reverse("admin:credits_notice_changelist")
        assert b"550 no such user" in client.get(url).content
        client.post(url, {"action": "send_again", "_selected_action": [notice.pk]})
        notice.refresh_from_db()
        assert notice.state == "failed"


@pytest.mark.parametrize("size", [1, 30])
def test_a_longer_ledger_needs_no_more_queries(
    staff, busy_account, now, size, django_assert_max_num_queries
):
    for number in range(size):
        services.spend(
            account_id=busy_account.pk,
            amount=1,
            reference="r",
            idempotency_key=f"{number}",
            now=now,
        )
    with django_assert_max_num_queries(10):
        staff.get(reverse("admin:credits_ledgerentry_changelist"))


def test_the_price_of_an_offer_cannot_be_edited(staff):
    offer = Offer.objects.create(
        slug="pack-50", name="50", kind="pack", credits=50, amount=500, currency="usd"
    )
    url = reverse("admin:credits_offer_change", args=[offer.pk])
    staff.post(url, {"name": "Fifty", "amount": 1, "credits": 9999, "active": "on", "order": 3})
    offer.refresh_from_db()
    assert (offer.name, offer.amount, offer.credits) == ("50", 500, 50)
