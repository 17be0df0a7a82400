"""Offers in the admin: drafts that nobody sees, publishing, successors, retiring."""

from dataclasses import replace

import pytest
from django.urls import reverse

from credits import drafts, queries
from credits.models import Offer, StaffAction
from credits.payments import publishing
from credits.pricing import Listed, PricingError

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
    return lambda offer: publishing.publish_offer(offer_id=offer.pk, actor="staff:a", now=now)


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


class TestThePages:
    @pytest.fixture
    def staff(self, client, django_user_model):
        client.force_login(django_user_model.objects.create_superuser("owner@example.com", "pw"))
        return client

    def fields(self, **more):
        return {
            "name": "Team", "slug": "team", "kind": "plan", "credits_": 500, "rollover_cap": 0,
            "amount": 9900, "currency": "USD", "interval": "month", **more,
        }  # fmt: skip

    def url(self, offer, name: str) -> str:
        return reverse(f"admin:credits_offer_{name}", args=[offer.pk])

    def test_walk_from_a_draft_to_a_successor(self, staff):
        staff.post(reverse("admin:credits_offer_add"), self.fields())
        offer = Offer.objects.get()
        assert staff.get(self.url(offer, "change")).status_code == 200
        staff.post(self.url(offer, "edit"), self.fields(amount=8900))
        staff.post(self.url(offer, "publish"))
        form = staff.get(self.url(offer, "succeed")).content.decode()
        assert 'value="team-2"' in form
        staff.post(self.url(offer, "succeed"), self.fields(slug="team-2", amount=7900))
        staff.post(self.url(Offer.objects.get(slug="team-2"), "publish"))
        staff.post(self.url(offer, "edit"), {"name": "Old team", "order": 9})
        staff.post(self.url(offer, "sell"))

        said = [(o.slug, o.name, o.state, o.amount) for o in Offer.objects.order_by("slug")]
        assert said == [
            ("team", "Old team", "published", 8900), ("team-2", "Team", "published", 7900),
        ]  # fmt: skip

    def test_say_what_is_wrong(self, staff):
        page = staff.post(reverse("admin:credits_offer_add"), self.fields(currency="xxx"))

        assert (page.status_code, b"none that Stripe charges" in page.content) == (400, True)

    def test_do_not_offer_what_cannot_be_done(self, staff, draft, publish):
        assert staff.post(self.url(draft, "retire")).status_code == 403
        publish(draft)
        for name in ("publish", "discard", "sell"):
            assert staff.post(self.url(draft, name)).status_code == 403

    def test_are_not_for_staff_without_the_permission(self, client, django_user_model, draft):
        client.force_login(django_user_model.objects.create_user("a@example.com", is_staff=True))

        for name in ("edit", "publish", "discard", "succeed"):
            assert client.post(self.url(draft, name)).status_code == 403
        assert client.get(reverse("admin:credits_offer_add")).status_code == 403
