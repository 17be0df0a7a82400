"""The page for one's mails, and the way out of them without signing in."""

import pytest
from django.test import Client
from django.utils import timezone

from credits import notices
from credits.models import Notice, NoticePreferences
from credits.notices.preferences import preferences_of, unsubscribe_token
from credits.tests.pages import client_of, html, text

pytestmark = pytest.mark.django_db
FORM = {"low_balance": "25", "renewals": "on", "expiring": "on"}


@pytest.fixture
def client(account):
    return client_of(account)


class TestNotifications:
    def test_need_a_session(self):
        answer = Client().get("/notifications/")
        assert answer.headers["Location"] == "/accounts/login/?next=/notifications/"

    def test_show_the_defaults_and_keep_nothing(self, client, account):
        page = html(client.get("/notifications/"))
        assert "customer1@example.com" in page
        assert page.count(" checked") == 2
        assert not NoticePreferences.objects.exists()

    def test_are_saved(self, client, account):
        answer = client.post("/notifications/", FORM, follow=True)
        assert "Saved." in text(answer)
        assert 'value="25"' in html(answer)
        client.post("/notifications/", {"renewals": "on"})
        kept = preferences_of(account_id=account.pk)
        assert (kept.low_balance, kept.renewals, kept.expiring) == (None, True, False)

    def test_everything_can_be_switched_off(self, client, account):
        client.post("/notifications/", {})
        kept = preferences_of(account_id=account.pk)
        assert (kept.low_balance, kept.renewals, kept.expiring) == (None, False, False)

    @pytest.mark.parametrize("number", ["0", "-5", "1.5", "many", "1e3", "9" * 30, "\0"])
    def test_refuse_what_is_no_number_of_credits_beside_the_field(self, client, number):
        page = client.post("/notifications/", {**FORM, "low_balance": number})
        assert 'aria-invalid="true"' in html(page, 422)
        assert not NoticePreferences.objects.exists()

    def test_are_ones_own(self, client, account, new_account):
        other = new_account()
        client.post("/notifications/", {**FORM, "account": other.pk, "id": 1})
        assert preferences_of(account_id=other.pk).low_balance is None


class TestTheLinkInAMail:
    @pytest.fixture
    def token(self, account):
        notices.queue(
            account_id=account.pk, kind=Notice.Kind.RENEWAL, fact_key="1", now=timezone.now()
        )
        return unsubscribe_token(Notice.objects.get())

    def test_asks_before_it_does_anything(self, token, account):
        page = Client().get(f"/notifications/off/{token}/")
        assert "Switch these mails off?" in text(page)
        assert "Renewal" in text(page)
        assert preferences_of(account_id=account.pk).renewals

    def test_works_without_signing_in_and_without_a_page(self, token, account):
        client = Client(enforce_csrf_checks=True)
        for _press in range(2):
            page = client.post(f"/notifications/off/{token}/", {"List-Unsubscribe": "One-Click"})
            assert "You get no more mails of the kind “Renewal”" in text(page)
        kept = preferences_of(account_id=account.pk)
        assert (kept.renewals, kept.expiring) == (False, True)

    def test_of_a_low_balance_forgets_the_threshold(self, account, client):
        client.post("/notifications/", FORM)
        notice = Notice(account=account, kind=Notice.Kind.LOW_BALANCE)
        Client().post(f"/notifications/off/{unsubscribe_token(notice)}/")
        assert preferences_of(account_id=account.pk).low_balance is None

    @pytest.mark.parametrize("method", ["get", "post"])
    @pytest.mark.parametrize("spoil", ["x{}", "{}x", "{}:", "a", "%00", "é"])
    def test_that_is_not_ours_is_404(self, token, account, spoil, method):
        answer = getattr(Client(), method)(f"/notifications/off/{spoil.format(token)}/")
        assert answer.status_code == 404
        assert preferences_of(account_id=account.pk).renewals

    @pytest.mark.parametrize(
        "kind", sorted({*Notice.Kind} - {"renewal", "expiring", "low_balance"})
    )
    def test_is_not_in_mails_about_money(self, account, kind):
        assert unsubscribe_token(Notice(account=account, kind=kind)) == ""
