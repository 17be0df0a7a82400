from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from django.test import Client

from credits import services
from credits.models import Account, Offer, Pool
from credits.tests.pages import client_of, html, text

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch, now: datetime) -> None:
    monkeypatch.setattr("django.utils.timezone.now", lambda: now)


def spend(account: Account, now: datetime, times: int = 1) -> None:
    for _ in range(times):
        reference = f"generation:{uuid4()}"
        services.spend(
            account_id=account.pk, amount=1, reference=reference, idempotency_key=reference, now=now
        )


def grant(account: Account, now: datetime, amount: int, pool: Pool, **more: object) -> None:
    more.setdefault("source_key", f"checkout:{pool}{more.get('expires_at')}")
    services.grant(account_id=account.pk, pool=pool, amount=amount, now=now, **more)


class TestLandingPage:
    def test_shows_the_price_list_to_anonymous_visitors(self, client: Client) -> None:
        Offer.objects.create(
            slug="p", name="Pack <b>", kind="pack", credits=1250, amount=150000, currency="eur"
        )
        page = client.get("/")
        assert "€1,500.00" in text(page)
        assert "1,250 credits that never end" in text(page)
        assert "<b>" not in html(page)

    def test_says_so_when_nothing_is_for_sale(self, client: Client) -> None:
        assert "Nothing is for sale" in text(client.get("/"))
        assert "Nothing is for sale" in text(client.get("/prices/"))

    def test_hides_offers_that_were_taken_off_sale(self, client: Client) -> None:
        Offer.objects.create(
            slug="old", name="Old", kind="pack", credits=1, amount=1, currency="usd", active=False
        )
        assert "Old" not in text(client.get("/prices/"))

    def test_does_not_open_an_account(self, client: Client) -> None:
        client.get("/")
        assert not Account.objects.exists()


class TestOverview:
    def test_without_any_credits(self, account: Account) -> None:
        page = text(client_of(account).get("/"))
        assert "Available credits 0" in page
        assert "Credits come from plans and packs" in page
        assert "Nothing yet" in page

    def test_shows_the_pools_with_their_first_end(self, account: Account, now: datetime) -> None:
        grant(account, now, 20, Pool.SUBSCRIPTION, expires_at=now + timedelta(days=20))
        grant(account, now, 5, Pool.PROMOTIONAL, expires_at=now + timedelta(days=1))
        grant(account, now, 7, Pool.PROMOTIONAL, expires_at=now + timedelta(days=2))
        grant(account, now, 1_000_000, Pool.BULK)
        page = text(client_of(account).get("/"))
        assert "Available credits 1,000,032" in page
        assert "Next to end: 5 on 11 Mar 2026, 12:00 UTC" in page
        assert "Subscription 20 Ends 30 Mar 2026, 12:00 UTC" in page
        assert "Promotional 12 5 end first, on 11 Mar 2026, 12:00 UTC" in page
        assert "Bulk 1,000,000 From credit packs" in page

    def test_shows_what_is_held_and_single_generations(
        self, account: Account, now: datetime
    ) -> None:
        grant(account, now, 10, Pool.BULK)
        services.hold(
            account_id=account.pk, amount=3, reference="generation:x", idempotency_key="x", now=now
        )
        services.issue_retail_token(account_id=account.pk, source_key="checkout:r", now=now)
        page = text(client_of(account).get("/"))
        assert "Available credits 7" in page
        assert "Single generations 1" in page
        assert "Held for work under way 3" in page

    def test_says_what_is_owed_and_that_the_account_is_frozen(
        self, account: Account, now: datetime
    ) -> None:
        grant(account, now, 2, Pool.BULK, source_key="checkout:1")
        spend(account, now, times=2)
        services.claw_back(source_key="checkout:1", total=2, reference="refund:1", now=now)
        services.freeze_account(account_id=account.pk, now=now)
        page = text(client_of(account).get("/"))
        assert "You owe 2 credits" in page
        assert "Your account is frozen" in page

    def test_lists_the_last_lines_in_words(self, account: Account, now: datetime) -> None:
        grant(account, now, 10, Pool.BULK, source_key="invoice:in_9")
        spend(account, now)
        page = text(client_of(account).get("/"))
        assert "Credits added Invoice in_9" in page
        assert "Taken for work Price of the work: generation" in page
        assert "−1" in page  # noqa: RUF001

    def test_opens_the_account_of_a_new_customer(self, account: Account) -> None:
        client, user = client_of(account), account.user
        account.delete()
        html(client.get("/"))
        assert Account.objects.filter(user=user).exists()

    def test_needs_few_queries(
        self, account: Account, now: datetime, django_assert_max_num_queries: Callable
    ) -> None:
        for day in range(1, 12):
            grant(account, now, 5, Pool.PROMOTIONAL, expires_at=now + timedelta(days=day))
        spend(account, now, times=20)
        client = client_of(account)
        with django_assert_max_num_queries(16):
            client.get("/")


@pytest.mark.parametrize("url", ["/", "/prices/", "/ledger/", "/statement/print/"])
def test_pages_are_read_only(account: Account, url: str) -> None:
    assert client_of(account).post(url).status_code == 405
