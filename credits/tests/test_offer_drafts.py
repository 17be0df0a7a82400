"""Offers in the admin: drafts that nobody sees, publishing, successors, retiring."""

import html
import re
from dataclasses import asdict, replace

import pytest
from django.db import transaction
from django.urls import reverse

from credits import drafts, queries
from credits.models import Offer, StaffAction, Subscription, TermsAreFixed
from credits.payments import publishing
from credits.pricing import Listed, PricingError
from credits.staff.offers import STATES

pytestmark = pytest.mark.django_db
PLAN = Listed(
    slug="team",
    name="Team",
    kind="plan",
    credits=500,
    amount=9900,
    currency="usd",
    interval="month",
)  # fmt: skip


@pytest.fixture
def draft(now):
    return drafts.save_draft(PLAN, actor="staff:a", now=now)


@pytest.fixture
def publish(now):
    """On a site without Stripe."""

    def publish(offer):
        seen = drafts.listed(offer)
        return publishing.publish_offer(offer_id=offer.pk, seen=seen, actor="staff:a", now=now)

    return publish


class TestADraft:
    def test_is_not_for_sale(self, draft):
        assert (draft.state, list(queries.offers())) == ("draft", [])

    def test_may_be_changed_and_discarded(self, draft, now):
        cheaper = replace(PLAN, amount=8900)
        drafts.save_draft(cheaper, actor="staff:a", now=now, offer_id=draft.pk)
        assert Offer.objects.get().amount == 8900

        drafts.discard(offer_id=draft.pk, actor="staff:a", now=now)
        assert not Offer.objects.exists()

    @pytest.mark.parametrize(
        "wrong",
        [
            {"slug": "With Space"}, {"amount": -1}, {"currency": "xxx"}, {"interval": ""},
            {"credits": 0}, {"kind": "gift"}, {"name": ""}, {"rollover_cap": 2**40},
            {"trial_days": 7}, {"trial_days": 731, "trial_credits": 5},
        ],
    )  # fmt: skip
    def test_says_everything_that_is_wrong_with_it(self, wrong, now):
        with pytest.raises(PricingError):
            drafts.save_draft(replace(PLAN, **wrong), actor="staff:a", now=now)

        assert not Offer.objects.exists()

    def test_needs_a_name_of_its_own(self, draft, now):
        with pytest.raises(PricingError, match="team already"):
            drafts.save_draft(PLAN, actor="staff:a", now=now)


class TestPublishing:
    def test_puts_it_on_sale_and_fixes_its_terms(self, draft, publish, now):
        assert publish(draft).state == "published"

        assert [offer.slug for offer in queries.offers()] == ["team"]
        with pytest.raises(PricingError, match="terms are fixed"):
            drafts.save_draft(PLAN, actor="staff:a", now=now, offer_id=draft.pk)
        with pytest.raises(PricingError, match="terms are fixed"):
            drafts.discard(offer_id=draft.pk, actor="staff:a", now=now)
        with pytest.raises(PricingError, match="terms are fixed"):
            publish(draft)

    def test_of_a_successor_retires_the_old_offer_and_takes_its_place(self, draft, publish, now):
        old = publish(draft)
        Offer.objects.update(order=4)
        new = drafts.save_draft(
            replace(PLAN, slug="team-2", credits=600), actor="staff:a", now=now, replaces_id=old.pk
        )

        publish(new)

        old.refresh_from_db()
        assert (old.state, old.credits) == ("retired", 500)
        assert [(offer.slug, offer.order) for offer in queries.offers()] == [("team-2", 4)]

    def test_stops_if_the_draft_was_changed_while_stripe_was_asked(self, draft, now):
        with pytest.raises(PricingError, match="changed meanwhile"):
            drafts.publish(
                offer_id=draft.pk,
                price_id="",
                seen=replace(PLAN, amount=1),
                actor="staff:a",
                now=now,
            )

        draft.refresh_from_db()
        assert draft.draft

    def test_is_in_the_audit_log(self, draft, publish):
        publish(draft)

        assert list(StaffAction.objects.order_by("id").values_list("action", "target")) == [
            ("offer.draft", "team"), ("offer.publish", "team"),
        ]  # fmt: skip


class TestRetiring:
    def test_and_back(self, draft, publish, now):
        offer = publish(draft)
        for for_sale in (False, True):
            for _twice in range(2):
                drafts.set_for_sale(offer_id=offer.pk, for_sale=for_sale, actor="staff:a", now=now)
            assert queries.offers().exists() is for_sale

        assert StaffAction.objects.filter(action__in=["offer.retire", "offer.sell"]).count() == 2

    def test_is_not_for_drafts(self, draft, now):
        with pytest.raises(PricingError):
            drafts.set_for_sale(offer_id=draft.pk, for_sale=True, actor="staff:a", now=now)


class TestTheTerms:
    """Below the admin too: whoever writes code that edits a published offer is stopped."""

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("kind", "pack"), ("credits", 5), ("rollover_cap", 1), ("amount", 1),
            ("currency", "eur"), ("interval", "year"), ("draft", True),
            ("trial_days", 7), ("trial_credits", 5),
        ],
    )  # fmt: skip
    def test_of_a_published_offer_are_not_saved(self, draft, publish, name, value):
        offer = publish(draft)
        setattr(offer, name, value)
        for fields in ({}, {"update_fields": [name]}):
            with pytest.raises(TermsAreFixed):
                offer.save(**fields)
        with pytest.raises(TermsAreFixed):
            Offer.objects.filter(pk=offer.pk).update(**{name: value})
        with pytest.raises(TermsAreFixed), transaction.atomic():
            Offer.objects.bulk_update([offer], [name])

    def test_of_a_draft_are(self, draft):
        draft.amount = 1
        draft.save()
        assert Offer.objects.get().amount == 1

    def test_cover_all_that_is_sold(self):
        """A new column is a term, or it is named here."""
        free = {"id", "slug", "name", "stripe_price_id", "draft", "active", "replaces", "order"}
        assert {field.name for field in Offer._meta.fields} == free | set(Offer.TERMS)


class TestThePreview:
    @pytest.fixture
    def page(self, client, django_user_model, draft, publish, now):
        """Of a successor of the only offer on sale."""
        old = publish(draft)
        new = replace(PLAN, slug="team-2", name="Big team", amount=12345)
        successor = drafts.save_draft(new, actor="staff:a", now=now, replaces_id=old.pk)
        client.force_login(django_user_model.objects.create_superuser("owner@example.com", "pw"))
        return client.get(reverse("admin:credits_offer_preview", args=[successor.pk]))

    def test_shows_the_draft_in_the_place_of_what_it_replaces(self, page):
        text = page.content.decode()
        assert page.status_code == 200
        assert "$123.45" in text
        assert "$99.00" not in text
        assert [offer.slug for offer, _price in page.context["prices"]] == ["team-2"]

    def test_changes_nothing(self, page, client):
        assert [offer.slug for offer in queries.offers()] == ["team"]
        client.logout()
        assert "Big team" not in client.get("/prices/").content.decode()

    def test_is_of_drafts_only(self, page, client):
        published = Offer.objects.get(slug="team")
        page = reverse("admin:credits_offer_preview", args=[published.pk])
        assert "Team is published: nothing more" in client.get(page, follow=True).content.decode()


class TestThePages:
    @pytest.fixture
    def staff(self, client, django_user_model):
        client.force_login(django_user_model.objects.create_superuser("owner@example.com", "pw"))
        return client

    def fields(self, **more):
        return {
            "name": "Team", "slug": "team", "kind": "plan", "credits_": 500, "rollover_cap": 0,
            "trial_days": 7, "trial_credits": 50,
            "amount": 9900, "currency": "USD", "interval": "month", **more,
        }  # fmt: skip

    def confirm(self, staff, offer, name: str, /, **fields):
        """Presses the button of a page, having seen what it says."""
        shown = staff.get(self.url(offer, name)).content.decode()
        agreed = re.search(r'name="agreed" value="([^"]+)"', shown)
        fields |= {"agreed": agreed[1]} if agreed else {}
        return staff.post(self.url(offer, name), fields, follow=True)

    def url(self, offer, name: str) -> str:
        return reverse(f"admin:credits_offer_{name}", args=[offer.pk])

    def test_walk_from_a_draft_to_a_successor(self, staff):
        staff.post(reverse("admin:credits_offer_add"), self.fields())
        offer = Offer.objects.get()
        assert staff.get(self.url(offer, "change")).status_code == 200
        self.confirm(staff, offer, "edit", **self.fields(amount=8900))
        asked = staff.get(self.url(offer, "publish")).content.decode()
        assert "who never had a plan gets 50 credits for 7 days" in asked
        self.confirm(staff, offer, "publish")
        listing = staff.get(reverse("admin:credits_offer_changelist")).content.decode()
        assert "$89.00 per month" in listing
        form = staff.get(self.url(offer, "succeed")).content.decode()
        assert 'value="team-2"' in form
        staff.post(self.url(offer, "succeed"), self.fields(slug="team-2", amount=7900))
        self.confirm(staff, Offer.objects.get(slug="team-2"), "publish")
        staff.post(self.url(offer, "edit"), {"name": "Old team", "order": 9})
        staff.post(self.url(offer, "sell"))

        said = [(o.slug, o.name, o.state, o.amount) for o in Offer.objects.order_by("slug")]
        assert said == [
            ("team", "Old team", "published", 8900), ("team-2", "Team", "published", 7900),
        ]  # fmt: skip

    def test_count_the_subscribers_and_lead_to_them(self, staff, draft, publish, account, now):
        offer = publish(draft)
        Offer.objects.filter(pk=offer.pk).update(stripe_price_id="price_1")
        for number, (price, status) in enumerate(
            [("price_1", "active"), ("price_1", "canceled"), ("price_2", "active")]
        ):
            Subscription.objects.create(
                subscription_id=f"sub_{number}", account=account, status=status, price_id=price,
                as_of=now,
            )  # fmt: skip
        text = staff.get(self.url(offer, "change")).content.decode()
        link = re.search(r'href="([^"]*subscription/\?[^"]*)"[^>]*>1</a>', text)
        assert link, "one subscriber"
        listed = staff.get(html.unescape(link[1])).context["cl"].result_list
        assert [row.subscription_id for row in listed] == ["sub_0"]

    def test_say_what_is_wrong(self, staff):
        page = staff.post(reverse("admin:credits_offer_add"), self.fields(currency="xxx"))

        assert (page.status_code, b"none that Stripe charges" in page.content) == (400, True)

    def test_do_not_take_9_dollars_for_9_cents(self, staff):
        page = staff.post(reverse("admin:credits_offer_add"), self.fields(amount="9.00"))

        assert (page.status_code, b"without a point" in page.content) == (400, True)

    @pytest.mark.parametrize("state", ["draft", "published", "retired"])
    def test_list_what_is_in_a_state(self, staff, draft, state):
        for name, fields in {"published": {"active": True}, "retired": {"active": False}}.items():
            Offer.objects.create(**{**asdict(PLAN), "slug": name}, **fields)
        expected = draft.slug if state == "draft" else state
        listing = staff.get(reverse("admin:credits_offer_changelist"), {"state": state})
        assert [offer.slug for offer in listing.context["cl"].queryset] == [expected]

    def test_lead_who_comes_too_late_back_to_the_offer(self, staff, draft, publish):
        """A second click, or a tab that was open while somebody else was faster."""

        def late(name: str) -> str:
            return staff.post(self.url(draft, name), follow=True).content.decode()

        assert "Team is a draft: nothing more was done." in late("retire")
        publish(draft)
        for name in ("publish", "discard", "sell"):
            assert "Team is published: nothing more was done." in late(name)
        assert StaffAction.objects.count() == 2

    def test_of_a_draft_that_was_discarded_lead_to_the_list(self, staff, draft):
        self.confirm(staff, draft, "discard")
        for name in ("discard", "publish", "edit"):
            page = staff.post(self.url(draft, name), follow=True)
            assert b"There is no such offer: perhaps it was discarded." in page.content

    def test_offer_only_what_can_be_done(self, staff, draft, publish):
        def offered() -> set[str]:
            page = staff.get(self.url(draft, "change")).content.decode()
            return {name for name in STATES if f'href="{self.url(draft, name)}"' in page}

        assert offered() == {"preview", "edit", "publish", "discard"}
        publish(draft)
        assert offered() == {"edit", "succeed", "retire"}

    def test_publish_and_save_only_what_was_looked_at(self, staff, draft, now):
        """Somebody else changes the draft while the page is open."""
        pages = {name: staff.get(self.url(draft, name)) for name in ("publish", "edit")}
        drafts.save_draft(replace(PLAN, amount=1), actor="staff:b", now=now, offer_id=draft.pk)

        for name, page in pages.items():
            agreed = re.search(r'name="agreed" value="([^"]+)"', page.content.decode())
            answer = staff.post(self.url(draft, name), {**self.fields(), "agreed": agreed[1]})
            assert (answer.status_code, b"Somebody changed" in answer.content) == (400, True)
        assert (Offer.objects.get().state, Offer.objects.get().amount) == ("draft", 1)

    def test_refuse_a_name_that_cannot_be_printed(self, staff, draft, publish):
        publish(draft)
        page = staff.post(self.url(draft, "edit"), {"name": "Te\u200bam", "order": 1})
        assert (page.status_code, b"printable characters" in page.content) == (400, True)

    def test_suggest_a_name_that_is_free(self, staff, draft, publish, now):
        old = publish(draft)
        second = replace(PLAN, slug="team-2")
        second = drafts.save_draft(second, actor="staff:a", now=now, replaces_id=old.pk)
        publish(second)
        assert 'value="team-3"' in staff.get(self.url(second, "succeed")).content.decode()

    def test_are_not_for_staff_without_the_permission(self, client, django_user_model, draft):
        client.force_login(django_user_model.objects.create_user("a@example.com", is_staff=True))

        for name in ("edit", "publish", "discard", "succeed"):
            assert client.post(self.url(draft, name)).status_code == 403
        assert client.get(reverse("admin:credits_offer_add")).status_code == 403
