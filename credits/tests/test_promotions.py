"""Promotional codes: good for credits, once per account, as often as they may be used."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from credits import services
from credits.models import (
    Account,
    FailedRedemption,
    LedgerEntry,
    Pool,
    PromotionalCode,
    StaffAction,
)
from credits.services import promotions
from credits.staff.base import start_of
from credits.tests.race import kinds, meet_before, race

pytestmark = pytest.mark.django_db


@pytest.fixture
def make_code(db, now):
    def make(code: str = "WELCOME", **terms) -> PromotionalCode:
        terms = {"campaign": "spring", "amount": 10, "days": 30, **terms}
        return services.create_codes(code=code, actor="staff:a", now=now, **terms)[0]

    return make


@pytest.fixture
def redeem(customer):
    def redeem(code: str = "WELCOME", **more):
        return services.redeem_code(
            **{"account_id": customer.account_id, "code": code, "now": customer.now, **more}
        )

    return redeem


class TestRedeeming:
    def test_adds_promotional_credits_that_end(self, customer, make_code, redeem):
        make_code(days=7)

        redemption = redeem()

        assert customer.pools == (0, 10, 0)
        assert redemption.lot.expires_at == customer.in_days(7)
        customer.wait(days=7)
        assert customer.available == 0

    @pytest.mark.parametrize("typed", ["welcome", "  Welcome \n"])
    def test_does_not_mind_how_it_is_typed(self, customer, make_code, redeem, typed):
        make_code()

        redeem(typed)

        assert customer.available == 10

    def test_says_why_in_the_books(self, customer, make_code, redeem):
        make_code()

        redeem()

        line = LedgerEntry.objects.get()
        assert (line.kind, line.pool, line.note) == ("grant", Pool.PROMOTIONAL, "Code WELCOME")

    def test_happens_once_per_account(self, customer, make_code, redeem):
        make_code()

        first = redeem()
        again = redeem(now=customer.in_days(1))

        assert (again.pk, again.created_at) == (first.pk, customer.now)
        assert customer.available == 10
        assert PromotionalCode.objects.get().uses == 1

    def test_is_open_to_other_accounts_up_to_the_limit(self, new_account, make_code, redeem):
        make_code(most_uses=2)

        for _ in range(2):
            redeem(account_id=new_account().pk)

        with pytest.raises(services.CodeUsedUp):
            redeem(account_id=new_account().pk)

    def test_pays_what_the_account_owes_first(self, customer, make_code, redeem):
        pack = customer.grant(8)
        customer.spend(8)
        customer.claw_back(pack, 8)
        make_code()

        redeem()

        assert customer.available == 2


class TestRefusals:
    @pytest.mark.parametrize(
        ("terms", "error"),
        [
            ({"valid_until": timedelta(hours=1)}, services.CodeExpired),
            ({"valid_from": timedelta(days=2)}, services.CodeNotFound),
        ],
    )
    def test_outside_its_time(self, customer, make_code, redeem, terms, error):
        make_code(**{name: customer.now + delta for name, delta in terms.items()})

        with pytest.raises(error):
            redeem(now=customer.in_days(1))

        assert customer.available == 0

    @pytest.mark.parametrize("word", ["", "NOTHING", "nul \0 ", "é" * 80])
    def test_unknown_words(self, customer, redeem, word):
        with pytest.raises(services.CodeNotFound):
            redeem(word)

    def test_a_code_that_was_switched_off(self, customer, make_code, redeem, now):
        code = make_code()
        services.switch_off_code(code_id=code.pk, actor="staff:a", now=now)

        with pytest.raises(services.CodeNotFound):
            redeem()

    @pytest.mark.parametrize("bought", ["pack", "token"])
    def test_old_customers_where_it_is_for_new_ones(self, customer, make_code, redeem, bought):
        make_code(new_customers_only=True)
        if bought == "pack":
            customer.grant(5, amount_paid=500, currency="usd")
        else:
            services.issue_retail_token(
                account_id=customer.account_id, source_key="checkout:1:1", amount_paid=100,
                currency="usd", now=customer.now,
            )  # fmt: skip

        with pytest.raises(services.CodeForNewCustomers):
            redeem()

    def test_a_gift_does_not_make_an_old_customer(self, customer, make_code, redeem):
        make_code(new_customers_only=True)
        customer.gift(5, days=1)

        redeem()

        assert customer.available == 15

    def test_guessing_stops_after_ten_an_hour_and_goes_on_after_it(
        self, customer, make_code, redeem
    ):
        make_code()
        for number in range(promotions.FAILURES_AN_HOUR):
            with pytest.raises(services.CodeNotFound):
                redeem(f"GUESS-{number}")

        with pytest.raises(services.TooManyAttempts) as refused:
            redeem()

        assert refused.value.retry_after_seconds == pytest.approx(3600, abs=1)
        assert customer.available == 0
        redeem(now=customer.now + timedelta(hours=1, seconds=1))
        assert customer.available == 10

    def test_old_failures_are_forgotten(self, customer, redeem):
        for hours in (0, 2):
            with pytest.raises(services.CodeNotFound):
                redeem("GUESS", now=customer.now + timedelta(hours=hours))

        assert FailedRedemption.objects.count() == 1


@pytest.mark.django_db(transaction=True)
class TestRaces:
    def test_the_last_use_goes_to_one_of_eight(self, new_account, make_code, redeem):
        make_code(most_uses=1)
        accounts = [new_account().pk for _ in range(8)]

        outcomes = race(*(lambda pk=pk: redeem(account_id=pk) for pk in accounts))

        assert kinds(outcomes) == {"Redemption": 1, "CodeUsedUp": 7}
        assert LedgerEntry.objects.count() == 1

    def test_one_account_that_clicks_eight_times_gets_it_once(self, customer, make_code, redeem):
        make_code()

        outcomes = race(*[redeem] * 8)

        assert kinds(outcomes) == {"Redemption": 8}
        assert customer.available == 10

    def test_reading_before_counting_would_give_the_last_use_twice(
        self, new_account, make_code, redeem, monkeypatch, settings
    ):
        """The negative control: without the conditional update the limit does not hold."""
        if transaction.get_connection().vendor == "sqlite":
            pytest.skip("BEGIN IMMEDIATE lets nobody else read meanwhile")
        code = make_code(most_uses=1)

        def count_up(code: PromotionalCode) -> None:
            if code.most_uses is not None and code.uses >= code.most_uses:
                raise services.CodeUsedUp
            PromotionalCode.objects.filter(pk=code.pk).update(uses=1)

        monkeypatch.setattr(promotions, "_use_up", count_up)
        meet_before(monkeypatch, 2, promotions, "_use_up")
        accounts = [new_account().pk for _ in range(2)]

        outcomes = race(*(lambda pk=pk: redeem(account_id=pk) for pk in accounts))

        assert kinds(outcomes) == {"Redemption": 2}
        assert code.redemptions.count() == 2


class TestMaking:
    def test_random_codes_differ_and_begin_as_wished(self, now):
        codes = services.create_codes(
            campaign="fair",
            amount=5,
            days=10,
            beginning="fair",
            count=500,
            actor="staff:a",
            now=now,
        )

        assert len({code.code for code in codes}) == 500
        assert all(code.code.startswith("FAIR-") for code in codes)

    def test_is_in_the_audit_log(self, make_code):
        make_code()

        action = StaffAction.objects.get()
        assert (action.actor, action.action, action.target) == (
            "staff:a", "codes.create", "WELCOME",
        )  # fmt: skip

    @pytest.mark.parametrize("word", ["ab", "with space", "x" * 41, "-dash", "umläut"])
    def test_refuses_words_that_nobody_could_type(self, make_code, word):
        with pytest.raises(services.InvalidCode):
            make_code(word)

    def test_refuses_a_word_that_is_taken(self, make_code):
        make_code()

        with pytest.raises(services.CodeExists):
            make_code("welcome")

    @pytest.mark.parametrize(
        "terms", [{"amount": 0}, {"days": 0}, {"most_uses": 0}, {"amount": 2**40}]
    )
    def test_refuses_amounts_that_are_none(self, make_code, terms):
        with pytest.raises(services.InvalidAmount):
            make_code(**terms)

    def test_refuses_a_code_that_ends_before_it_begins(self, make_code, now):
        with pytest.raises(services.InvalidCode):
            make_code(valid_until=now)


class TestThePage:
    @pytest.fixture
    def person(self, client, account):
        client.force_login(account.user)
        return client

    @pytest.fixture
    def today(self, make_code):
        code = make_code()
        PromotionalCode.objects.update(valid_from=code.valid_from - timedelta(days=400))

    def test_adds_the_credits_and_says_until_when(self, person, today):
        page = person.post(reverse("redeem"), {"code": "welcome"}, follow=True)

        assert page.redirect_chain[-1][0] == reverse("dashboard")
        assert "10 credits were added. They can be spent until" in page.content.decode()

    def test_says_that_nothing_was_added_the_second_time(self, person, today):
        person.post(reverse("redeem"), {"code": "welcome"})

        page = person.post(reverse("redeem"), {"code": "welcome"}, follow=True)

        assert "nothing was added now" in page.content.decode()

    def test_shows_the_reason_beside_the_field(self, person):
        page = person.post(reverse("redeem"), {"code": "nothing"})

        assert page.status_code == 400
        assert "There is no such code" in page.content.decode()

    def test_takes_the_code_of_a_link(self, person):
        assert (
            'value="SPRING"' in person.get(reverse("redeem"), {"code": "SPRING"}).content.decode()
        )

    def test_is_for_who_is_signed_in(self, client):
        assert client.get(reverse("redeem")).status_code == 302


class TestTheApi:
    def redeem(self, client, code):
        return client.post(
            reverse("api-redemptions"), {"code": code}, content_type="application/json"
        )

    def test_answers_201_then_200(self, client, account, make_code):
        make_code()
        client.force_login(account.user)

        first, again = self.redeem(client, "WELCOME"), self.redeem(client, "welcome")

        assert (first.status_code, again.status_code) == (201, 200)
        assert first.json() == again.json()
        assert first.json()["credits"] == 10

    def test_refuses_with_a_problem_document(self, client, account):
        client.force_login(account.user)

        answer = self.redeem(client, "NOTHING")

        assert (answer.status_code, answer.json()["code"]) == (404, "code_not_found")

    def test_stops_guessing(self, client, account):
        client.force_login(account.user)
        for _ in range(promotions.FAILURES_AN_HOUR):
            self.redeem(client, "NOTHING")

        answer = self.redeem(client, "NOTHING")

        assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
        assert int(answer["Retry-After"]) > 3000


class TestTheAdmin:
    @pytest.fixture
    def staff(self, client, django_user_model):
        client.force_login(django_user_model.objects.create_superuser("owner@example.com", "pw"))
        return client

    def add(self, staff, **fields):
        given = {"campaign": "fair", "count": 1, "amount": 5, "days": 10, "most_uses": 1, **fields}
        return staff.post(reverse("admin:credits_promotionalcode_add"), given, follow=True)

    def test_makes_a_batch(self, staff):
        page = self.add(
            staff,
            count=20,
            beginning="FAIR",
            valid_until=(timezone.now() + timedelta(days=9)).date(),
        )

        assert b"20 codes were made." in page.content
        assert PromotionalCode.objects.filter(code__startswith="FAIR-").count() == 20
        assert StaffAction.objects.get().actor == "staff:owner@example.com"

    @pytest.mark.parametrize(
        ("fields", "sentence"),
        [
            ({"code": "ab"}, "A code has 3 to 40"),
            ({"code": "GOOD", "count": 2}, "One word is one code"),
            ({"amount": 0}, "greater than or equal to 1"),
            ({"valid_until": "2001-01-01"}, "from today to ten years ahead"),
        ],
    )
    def test_says_what_is_wrong(self, staff, fields, sentence):
        page = self.add(staff, **fields)

        assert page.status_code == 400
        assert sentence in page.content.decode()
        assert not PromotionalCode.objects.exists()

    def test_leads_to_the_list_of_just_these_and_their_file(self, staff, make_code):
        make_code(campaign="fair")
        page = self.add(staff, count=3)

        rows = page.context["cl"].queryset
        assert {code.code for code in rows} == set(
            PromotionalCode.objects.exclude(code="WELCOME").values_list("code", flat=True)
        )
        lines = self.download(staff, page.request["QUERY_STRING"])
        assert len(lines) == 3
        assert StaffAction.objects.latest("id").action == "list.export"

    def test_says_from_when_on_they_are_good(self, staff):
        tomorrow = (timezone.now() + timedelta(days=1)).date()
        self.add(staff, code="SOON", count=1, valid_from=tomorrow)

        assert PromotionalCode.objects.get().valid_from == start_of(tomorrow)

    def test_says_the_last_day_as_it_was_asked_for(self, staff):
        tomorrow = (timezone.now() + timedelta(days=1)).date()
        page = self.add(staff, code="SHORT", count=1, valid_until=tomorrow)
        code = PromotionalCode.objects.get()
        one = staff.get(reverse("admin:credits_promotionalcode_change", args=[code.pk]))

        assert code.valid_until.date() == tomorrow + timedelta(days=1)
        for shown in (page, one):
            text = shown.content.decode()
            assert f"{tomorrow}" in text and f"{code.valid_until.date()}" not in text

    def test_finds_a_campaign_of_two_words_and_a_code_in_small_letters(self, staff, make_code):
        make_code(campaign="spring fair")
        listing = reverse("admin:credits_promotionalcode_changelist")
        for word in ("spring fair", "welcome"):
            assert staff.get(listing, {"q": word}).context["cl"].result_count == 1, word

    def test_switches_codes_off(self, staff, make_code):
        first, second = make_code(), make_code(code="SECOND")
        listing = reverse("admin:credits_promotionalcode_changelist")
        alone = reverse("admin:credits_promotionalcode_switch_off_this", args=[second.pk])

        staff.post(listing, {"action": "switch_off", "_selected_action": [first.pk]})
        assert b"Nobody can redeem it any more" in staff.get(alone).content
        for _twice in range(2):
            assert b"SECOND is switched off." in staff.post(alone, follow=True).content

        assert not PromotionalCode.objects.filter(active=True).exists()
        assert StaffAction.objects.filter(action="codes.switch_off").count() == 2

    def test_shows_who_redeemed_a_code(self, staff, redeem, make_code, customer):
        code = make_code()
        redeem()
        page = staff.get(reverse("admin:credits_promotionalcode_change", args=[code.pk]))
        assert "1 so far: who, and when" in page.content.decode()
        listing = reverse("admin:credits_redemption_changelist")
        who = str(Account.objects.get(pk=customer.account_id).user)
        for word in ("welcome", who, str(customer.account_id)):
            assert who in staff.get(listing, {"q": word}).content.decode(), word

    def test_downloads_a_campaign_that_looks_like_a_formula_as_text(self, staff, make_code):
        make_code(campaign="=1+1")
        assert ",'=1+1," in self.download(staff, "")[0]

    def download(self, staff, query: str) -> list[str]:
        """The lines of the file."""
        csv = staff.get(f"{reverse('admin:credits_promotionalcode_export')}?{query}")
        return csv.getvalue().decode().splitlines()[1:]

    def test_is_not_for_staff_without_the_permission(self, client, django_user_model):
        client.force_login(django_user_model.objects.create_user("a@example.com", is_staff=True))

        assert client.get(reverse("admin:credits_promotionalcode_add")).status_code == 403


@pytest.mark.django_db(transaction=True)
def test_the_audit_log_cannot_be_changed(make_code):
    make_code()

    for change in (StaffAction.objects.all().delete, lambda: StaffAction.objects.update(actor="x")):
        with pytest.raises(Exception, match="append-only"):
            change()

    assert StaffAction.objects.count() == 1
