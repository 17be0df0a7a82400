"""What customers are told of a plan that changes, ends or goes on, from the sandbox's events."""

import random
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from django.core import mail
from django.utils import timezone
from django.utils.formats import date_format

from billing_site.sandbox.stripe.tests.conftest import FAILS_LATER
from billing_site.sandbox.stripe.tests.test_plan_changes import retold, site, stored_events
from credits import services
from credits.models import CreditLot, Notice, NoticePreferences, Offer
from credits.notices import outbox
from credits.payments.tests.conftest import account, books_balance, new_account, offers
from credits.payments.tests.test_telling import Read

__all__ = ["account", "books_balance", "new_account", "offers", "site"]

pytestmark = pytest.mark.django_db
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def subscriber(site, shop, settings):
    """Somebody in Berlin who has the plan Pro."""
    settings.SITE_URL = "https://shop.example.com"
    site.account.user.timezone = BERLIN.key
    site.account.user.save()
    starter = Offer.objects.get(slug="starter")
    starter.rollover_cap = 1
    starter.save(never_bought=True)
    return site.subscribes(shop.pro)


@pytest.fixture
def mails(subscriber):
    """Lets the site hear and returns the mails since the last call."""

    def mails():
        subscriber.hears()
        outbox.send_due(now=timezone.now())
        sent, mail.outbox[:] = list(mail.outbox), []
        return sent

    mails()
    return mails


@pytest.fixture
def only_mail(mails):
    def only_mail():
        [message] = mails()
        return Read(message)

    return only_mail


def in_berlin(moment):
    return date_format(moment.astimezone(BERLIN), "j F Y, H:i T")


class TestAPlannedChange:
    def test_is_told_with_what_changes_when_and_how_to_undo_it(
        self, subscriber, shop, mails, only_mail
    ):
        preview = subscriber.previews("starter")
        subscriber.changes("starter")
        told = only_mail()
        at = in_berlin(preview.takes_effect_at)
        assert told.subject == f"Your plan changes to starter on {at}"
        assert "CE" in told.subject, "CET or CEST"
        assert told.says(
            "you keep pro, and nothing is paid now",
            "up to 1 credit carry over",
            "open your plan and keep pro",
            "Plan until then: pro",
            "Plan from then on: starter",
            "$9.00 per month",
            "Added with each period: 20 credits",
        )
        assert "https://shop.example.com/subscription/" in told.plain
        assert "List-Unsubscribe" not in told.message.extra_headers

        shop.sandbox.advance(32)
        assert [message.subject for message in mails()] == [
            "Your plan was renewed: 20 credits added"
        ]

    def test_to_another_plan_is_told_anew_and_back_again_too(self, subscriber, shop, mails):
        for plan in ("starter", "mini", "starter"):
            subscriber.changes(plan)
            shop.sandbox.advance(1)
        assert [message.subject.split(" on ")[0] for message in mails()] == [
            "Your plan changes to starter",
            "Your plan changes to mini",
            "Your plan changes to starter",
        ]

    def test_of_a_plan_that_has_ended_meanwhile_is_no_news(
        self, subscriber, shop, mails, new_account
    ):
        subscriber.changes("starter")
        shop.client.v1.subscriptions.cancel(subscriber.at_stripe.id)
        mails()
        events = sorted(stored_events(), key=lambda event: "schedule" in event["type"])
        other = new_account()
        retold(subscriber, other, events, one_by_one=True)
        told = Notice.objects.filter(account=other, kind=Notice.Kind.PLAN_CHANGED)
        assert not told.exists()


class TestACancellation:
    def test_says_what_stays_until_when_and_how_to_resume(self, subscriber, shop, mails, only_mail):
        shop.buy(shop.pack, metadata={"offer": "pack-50"})
        shop.buy(shop.pack, metadata={"offer": "single"})
        mails()
        now = timezone.now()
        services.spend(
            account_id=subscriber.account.pk, amount=30, reference="r", idempotency_key="k", now=now
        )
        subscriber.cancels()
        told = only_mail()
        ends = in_berlin(subscriber.state.subscription.period_end)
        assert told.subject == f"Your plan was cancelled and ends on {ends}"
        assert told.says(
            f"pro runs until {ends}. Nothing more is charged.",
            "Its credits can be spent until then",
            "you can resume the plan until it has ended",
            "Left of the plan, until it ends: 70 credits",
            "Credits of packs, which never end: 50 credits",
            "Single generations, which never end: 1 single generation",
        )
        assert "Gifts, until" not in told.plain
        assert "https://shop.example.com/subscription/" in told.plain

    def test_in_the_portal_of_flexible_billing_is_one_too(self, subscriber, shop, only_mail, mails):
        """It sets `cancel_at`, and not `cancel_at_period_end`."""
        plan = subscriber.at_stripe
        end = plan["items"].data[0].current_period_end
        update = shop.client.v1.subscriptions.update
        assert not update(plan.id, {"cancel_at": end}).cancel_at_period_end
        assert "ends on" in only_mail().subject
        assert subscriber.state.is_ending
        shop.sandbox.advance(1)
        subscriber.resumes()
        assert only_mail().subject == "Your plan goes on"
        assert not subscriber.state.is_ending
        update(plan.id, {"cancel_at": end + 40 * 86_400})  # after another renewal
        assert mails() == []
        assert not subscriber.state.is_ending

    def test_cannot_be_switched_off(self, subscriber, only_mail):
        NoticePreferences.objects.create(
            account=subscriber.account, renewals=False, expiring=False, low_balance=None
        )
        subscriber.cancels()
        assert "List-Unsubscribe" not in only_mail().message.extra_headers

    def test_is_told_once_whatever_else_happens_to_the_plan(self, subscriber, shop, mails):
        subscriber.cancels()
        assert len(mails()) == 1
        shop.client.v1.subscriptions.update(subscriber.at_stripe.id, {"metadata": {"a": "b"}})
        assert mails() == []

    def test_of_a_planned_change_tells_of_the_end_only(self, subscriber, only_mail, mails):
        subscriber.changes("starter")
        mails()
        subscriber.cancels()
        assert "ends on" in only_mail().subject

    def test_that_comes_true_is_told_as_the_end(self, subscriber, shop, mails, only_mail):
        subscriber.cancels()
        mails()
        shop.sandbox.advance(32)
        told = only_mail()
        assert told.subject == "Your plan has ended"
        assert told.says("With it ended 100 credits", "Packs, gifts and single generations stay.")

    def test_of_an_unpaid_period_is_the_end_at_once(self, site, shop, settings):
        settings.SITE_URL = "https://shop.example.com"
        site.subscribes(shop.plan, card=FAILS_LATER)
        site.in_days(32)
        site.cancels()
        site.hears()
        kinds = Notice.objects.order_by("pk").values_list("kind", flat=True)
        assert list(kinds)[-1] == Notice.Kind.SUBSCRIPTION_ENDED
        assert Notice.Kind.PLAN_CHANGED not in kinds


class TestAResumption:
    def test_says_when_the_plan_renews(self, subscriber, shop, mails, only_mail):
        subscriber.cancels()
        mails()
        shop.sandbox.advance(1)
        subscriber.resumes()
        told = only_mail()
        assert told.subject == "Your plan goes on"
        assert told.says(
            "pro was to end, and that was taken back",
            f"Renews on: {in_berlin(subscriber.state.subscription.period_end)}",
            "Price, before taxes and promotion codes: $29.00",
            "Added then: 100 credits",
        )

    def test_and_another_cancellation_are_told_again(self, subscriber, shop, mails):
        for act in (subscriber.cancels, subscriber.resumes, subscriber.cancels, subscriber.resumes):
            act()
            shop.sandbox.advance(1)
        subjects = [message.subject for message in mails()]
        assert subjects[1] == subjects[3] == "Your plan goes on"
        assert subjects[0] == subjects[2] != subjects[1]
        assert len(subjects) == 4


def test_in_whatever_order_and_however_often_no_fact_is_told_twice_and_no_end_untold(
    subscriber, shop, mails, new_account
):
    for act in (
        lambda: subscriber.changes("starter"),
        subscriber.cancels,
        subscriber.resumes,
        subscriber.cancels,
    ):
        act()
        assert len(mails()) == 1
        shop.sandbox.advance(1)
    shop.sandbox.advance(40)
    assert len(mails()) == 1
    events = stored_events()
    seed = random.randrange(10**6)
    dice = random.Random(seed)
    for _ in range(2):
        dice.shuffle(events)
        other = new_account()
        retold(subscriber, other, [*events, *dice.choices(events, k=5)], one_by_one=True)
        told = list(Notice.objects.filter(account=other).order_by("pk"))
        keys = [notice.fact_key for notice in told]
        assert len(set(keys)) == len(keys), seed
        news = [notice.context.get("news", notice.kind) for notice in told]
        began = CreditLot.objects.filter(account=other).exists()  # not if the end came first
        assert news.count(Notice.Kind.SUBSCRIPTION_ENDED) == began, seed
        assert all(before == "ends" for before, after in pairwise(news) if after == "resumed"), seed
