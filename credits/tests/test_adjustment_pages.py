"""The admin's pages for adjustments and freezing: who may, what they see, what then happens."""

import html
import re
from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.urls import reverse
from django.utils import timezone

from credits import services
from credits.models import Account, Adjustment, LedgerEntry, Pool, StaffAction
from credits.services import Direction
from credits.staff.adjustment_forms import FORMS

pytestmark = pytest.mark.django_db
State = Adjustment.State


def person(client_class, name: str, *permissions: str, group: str = ""):
    user = get_user_model().objects.create_user(f"{name}@example.com", is_staff=True)
    names = [permission.partition(".")[2] for permission in permissions]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    if group:
        user.groups.add(Group.objects.get_or_create(name=group)[0])
    client = client_class()
    client.force_login(user)
    return client


@pytest.fixture
def today(monkeypatch, now):
    monkeypatch.setattr(timezone, "now", lambda: now)


@pytest.fixture
def support(today, client):
    return person(
        type(client), "ann", "credits.add_adjustment", "credits.view_adjustment", group="Support"
    )


@pytest.fixture
def billing(today, client):
    return person(
        type(client), "bob", "credits.approve_adjustment", "credits.view_adjustment",
        "credits.change_account", "credits.view_account",
    )  # fmt: skip


@pytest.fixture
def address(customer):
    def address(kind: str) -> str:
        add = reverse("admin:credits_adjustment_add")
        return f"{add}?account={customer.account_id}&kind={kind}"

    return address


def hidden(page, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]+)"', page.content.decode())
    assert found, page.content.decode()
    return found[1]


def send(client, address: str, **fields):
    """Fills the form, looks at the preview and confirms it."""
    form = client.get(address)
    given = {"reason_code": "goodwill", "reason": "a bad day", "form_id": hidden(form, "form_id")}
    given |= fields
    preview = client.post(address, given)
    if preview.status_code != 200:
        return preview
    given["agreed"] = hidden(preview, "agreed")
    return client.post(address, given, follow=True)


class TestAsking:
    def test_begins_with_whose_and_what(self, support, customer):
        start = reverse("admin:credits_adjustment_add")
        email = Account.objects.get().user.email

        page = support.post(start, {"email": email, "kind": "grant"})

        assert page.url == f"{start}?account={customer.account_id}&kind=grant"
        unknown = support.post(start, {"email": "nobody@example.com", "kind": "grant"})
        assert (unknown.status_code, b"Nobody with this address" in unknown.content) == (400, True)

    def test_shows_what_would_be_posted_and_then_posts_it(self, support, customer, address):
        preview = support.post(
            address("grant"),
            {
                "reason_code": "goodwill", "reason": "x", "pool": "bulk", "amount": "7",
                "form_id": "6e3f0a3e-2a1c-4a6e-9d0f-1d1f6d1a0c11",
            },
        )  # fmt: skip
        assert "+7 bulk credits, then 7 there" in preview.content.decode()
        assert customer.available == 0

        done = send(support, address("grant"), pool="bulk", amount="7")

        assert b"Posted." in done.content
        assert customer.available == 7

    def test_waits_above_the_limit(self, support, customer, address):
        done = send(support, address("grant"), pool="bulk", amount="700")

        assert b"Waiting for a second person" in done.content
        assert customer.available == 0

    def test_shows_the_preview_again_when_the_account_changed(self, support, customer, address):
        form = support.get(address("grant"))
        given = {
            "reason_code": "other", "reason": "x", "pool": "bulk", "amount": "7",
            "form_id": hidden(form, "form_id"),
        }  # fmt: skip
        given["agreed"] = hidden(support.post(address("grant"), given), "agreed")
        customer.grant(1)

        page = support.post(address("grant"), given)

        assert "then 8 there" in page.content.decode()
        assert customer.available == 1

    def test_shows_the_preview_again_when_the_form_changed(self, support, customer, address):
        form = support.get(address("grant"))
        given = {
            "reason_code": "other", "reason": "x", "pool": "bulk", "amount": "7",
            "form_id": hidden(form, "form_id"),
        }  # fmt: skip
        given["agreed"] = hidden(support.post(address("grant"), given), "agreed")

        page = support.post(address("grant"), {**given, "amount": "9"})

        assert "+9 bulk credits" in page.content.decode()
        assert customer.available == 0

    def test_names_what_there_is_to_choose_from(self, support, customer, address):
        """What staff removed was no generation, and cannot be given back as one."""
        customer.gift(9, days=9)
        customer.adjust(2, Direction.REMOVE, pool=Pool.PROMOTIONAL)
        services.issue_retail_token(
            account_id=customer.account_id, source_key="adjustment:1", now=customer.now
        )

        def says(kind: str) -> str:
            return support.get(address(kind)).content.decode()

        assert "7 left of: Promotional credits of 10 Mar 2026. End: 2026-03-19" in says("extend")
        assert "The account has none." in says("give_back")
        assert "2026-03-10, given by staff" in says("revoke_token")

    @pytest.mark.parametrize("kind", FORMS)
    def test_every_form_opens_and_refuses_to_be_empty(self, support, customer, address, kind):
        customer.grant(9)
        customer.gift(9, days=9)
        customer.spend(1)
        customer.buy_token()

        assert support.get(address(kind)).status_code == 200
        assert support.post(address(kind), {"x": "y"}).status_code == 400

    @pytest.mark.parametrize(
        ("kind", "fields"),
        [
            ("grant", {"pool": "bulk", "amount": "-5"}),
            ("grant", {"pool": "bulk", "amount": "9" * 30}),
            ("grant", {"pool": "gold", "amount": "5"}),
            ("grant", {"pool": "promotional", "amount": "5"}),
            ("grant", {"pool": "promotional", "amount": "5", "last_day": "2026-02-30"}),
            ("grant", {"pool": "promotional", "amount": "5", "last_day": "2026-03-09"}),
            ("grant", {"pool": "promotional", "amount": "5", "last_day": "9999-12-31"}),
            ("remove", {"pool": "bulk", "amount": "5"}),
            ("extend", {"lot": "1", "last_day": "2030-01-01"}),
            ("give_back", {"hold": "abc"}),
            ("grant", {"pool": "bulk", "amount": "5", "form_id": "abc"}),
        ],
    )
    def test_says_what_is_wrong(self, support, customer, address, kind, fields):
        assert send(support, address(kind), **fields).status_code == 400
        assert not Adjustment.objects.exists()

    @pytest.mark.parametrize("query", ["", "account=abc", "account=9" * 30, "account=1&kind=x"])
    def test_an_address_that_is_none_leads_to_the_start(self, support, query):
        page = support.get(f"{reverse('admin:credits_adjustment_add')}?{query}")

        assert b"Adjust an account" in page.content

    def test_of_a_person_without_a_group_always_waits(self, client, today, customer, address):
        nobody = person(type(client), "eve", "credits.add_adjustment", "credits.view_adjustment")

        send(nobody, address("grant"), pool="bulk", amount="1")

        assert Adjustment.objects.get().state == State.WAITING


class TestDeciding:
    @pytest.fixture
    def waiting(self, support, address):
        send(support, address("grant"), pool="bulk", amount="700")
        return Adjustment.objects.get()

    def decide(self, client, adjustment, step: str, **more):
        page = reverse("admin:credits_adjustment_decide", args=[adjustment.pk])
        shown = client.get(page)
        if shown.status_code != 200:
            return shown
        found = re.search(r'name="agreed" value="(\d+)"', shown.content.decode())
        given = {"step": step, "agreed": found[1] if found else "", "reason": "no", **more}
        return client.post(page, given, follow=True)

    def test_approving_posts_it(self, billing, customer, waiting):
        page = self.decide(billing, waiting, "approve")

        assert b"Approved and posted" in page.content
        assert customer.available == 700

    def test_who_asked_sees_no_such_button_and_cannot_press_it(self, support, customer, waiting):
        user = get_user_model().objects.get(email="ann@example.com")
        user.user_permissions.add(Permission.objects.get(codename="approve_adjustment"))
        page = support.get(reverse("admin:credits_adjustment_decide", args=[waiting.pk]))
        assert b"Approve and post" not in page.content
        assert b"Take it back" in page.content

        answer = self.decide(support, waiting, "approve")

        assert (answer.status_code, b"you asked for it" in answer.content) == (400, True)
        assert customer.available == 0

    def test_is_not_for_people_without_the_permission(self, client, today, customer, waiting):
        other = person(type(client), "eve", "credits.add_adjustment", "credits.view_adjustment")

        assert self.decide(other, waiting, "approve").status_code == 403
        assert customer.available == 0

    def test_of_a_preview_that_is_old_looks_again(self, billing, customer, waiting):
        page = self.decide(billing, waiting, "approve", agreed="0")
        assert page.status_code == 200  # 0 is what the account's books are at

        customer.grant(1)
        again = self.decide(billing, waiting, "approve", agreed="0")
        assert again.status_code == 400
        assert LedgerEntry.objects.count() == 2

    def test_is_not_done_without_being_asked_for(self, billing, customer, waiting):
        assert self.decide(billing, waiting, "").status_code == 403
        assert customer.available == 0

    def test_of_a_number_that_is_none_looks_again(self, billing, customer, waiting):
        assert self.decide(billing, waiting, "approve", agreed="9" * 5000).status_code == 400
        assert customer.available == 0

    def test_refusing_is_for_who_asked_and_who_approves(self, client, today, waiting):
        other = person(type(client), "eve", "credits.add_adjustment", "credits.view_adjustment")
        assert self.decide(other, waiting, "refuse").status_code == 403

    def test_refusing_keeps_the_reason(self, billing, customer, waiting):
        self.decide(billing, waiting, "refuse", reason="no such promise")

        assert StaffAction.objects.latest("id").reason == "no such promise"
        assert self.decide(billing, waiting, "approve").status_code == 400

    def test_who_asked_takes_it_back(self, support, waiting):
        assert b"Taken back." in self.decide(support, waiting, "refuse").content

    def test_after_a_week_is_too_late_also_before_a_worker_says_so(self, billing, waiting):
        Adjustment.objects.update(requested_at=waiting.requested_at - timedelta(days=7))
        page = reverse("admin:credits_adjustment_decide", args=[waiting.pk])

        for answer in (billing.get(page), billing.post(page, {"step": "approve", "agreed": "0"})):
            text = answer.content.decode()
            assert "it has lapsed, and can be asked anew" in text
            assert "Approve and post" not in text

    def test_is_told_on_its_page_in_words(self, billing, waiting):
        page = reverse("admin:credits_adjustment_change", args=[waiting.pk])
        decide = reverse("admin:credits_adjustment_decide", args=[waiting.pk])
        assert decide in billing.get(page).content.decode()
        self.decide(billing, waiting, "refuse", reason="no such promise")

        told = billing.get(page).content.decode()
        assert "ann@example.com asked for an adjustment (Add credits: 700 bulk): a bad day" in told
        assert "bob@example.com refused an adjustment (Add credits: 700 bulk): no such" in told
        assert decide not in told

    def test_of_nothing_is_not_found(self, billing):
        for key in ("abc", "6e3f0a3e-2a1c-4a6e-9d0f-1d1f6d1a0c11"):
            page = reverse("admin:credits_adjustment_decide", args=[key])
            assert billing.get(page).status_code == 404


class TestThePageOfOne:
    """What was asked for, in words."""

    def shown(self, client, customer, kind, **terms):
        asked = services.request_adjustment(
            form_id=uuid4(), account_id=customer.account_id, kind=kind, terms=terms,
            reason_code="our_fault", reason="x", user_id=Account.objects.get().user_id, limit=0,
            sequence=Account.objects.get().sequence, now=customer.now,
        )  # fmt: skip
        page = client.get(reverse("admin:credits_adjustment_change", args=[asked.pk]))
        return html.unescape(page.content.decode())

    def test_says_how_many_of_which_and_until_when(self, support, customer):
        customer.grant(30)
        end = "2027-01-01T00:00:00+00:00"
        text = self.shown(
            support, customer, "grant", pool="promotional", amount=1250, expires_at=end
        )
        assert "1,250 promotional credits, last day 2026-12-31 (UTC)" in text
        assert "A fault of ours" in text and "Counts as (credits)" in text
        text = self.shown(support, customer, "remove", pool="bulk", amount=5)
        assert "5 bulk credits" in text and "last day" not in text
        move = {"pool": "bulk", "to_pool": "promotional", "amount": 5, "expires_at": end}
        text = self.shown(support, customer, "move", **move)
        assert "5 credits, from bulk to promotional, last day 2026-12-31 (UTC)" in text

    def test_leads_to_the_row_that_it_is_about(self, support, customer):
        lot, token = customer.gift(9, days=9), customer.buy_token()
        end = "2027-01-01T00:00:00+00:00"
        text = self.shown(support, customer, "extend", lot=lot.pk, expires_at=end)
        assert "9 credits: Promotional credits of 10 Mar 2026, last day 2026-12-31 (UTC)" in text
        assert reverse("admin:credits_creditlot_change", args=[lot.pk]) in text
        text = self.shown(support, customer, "revoke_token", token=token.pk)
        assert f"One single generation, {token.source_key}" in text
        hold = customer.spend(3)
        text = self.shown(support, customer, "give_back", hold=hold.pk)
        assert f"3 credits that {hold.reference} cost" in text
        assert reverse("admin:credits_hold_change", args=[hold.pk]) in text


class TestFreezing:
    def test_asks_for_a_reason_and_logs_it(self, billing, customer):
        page = reverse("admin:credits_account_freeze", args=[customer.account_id])

        assert billing.post(page, {"reason": ""}).status_code == 400
        billing.post(page, {"reason": "stolen card"})

        assert Account.objects.get().status == "frozen"
        assert StaffAction.objects.get().reason == "stolen card"
        with pytest.raises(services.AccountFrozen):
            customer.spend(1)

    def test_is_not_for_everybody(self, client, today, customer):
        page = reverse("admin:credits_account_freeze", args=[customer.account_id])
        looks = person(type(client), "eve", "credits.view_account")

        assert looks.post(page, {"reason": "x"}).status_code == 403
        assert Account.objects.get().status == "active"
