"""The nightly comparison: once over all workers, heard of only when there is something to hear."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from django.db import connection
from django.urls import reverse

from credits.models import Notice, Reconciliation
from credits.payments.client import SellingUnavailable
from credits.payments.reconcile import nightly
from credits.payments.reconcile.differences import Difference, Kind

pytestmark = pytest.mark.django_db

NIGHT = datetime(2026, 3, 10, 3, 0, tzinfo=UTC)
MISSING = Difference(Kind.NOT_GRANTED, "in_1 cus_1", "not booked <yet>", 1, 900, "usd")


@pytest.fixture(autouse=True)
def selling(settings):
    settings.STRIPE_SECRET_KEY = "sk_test_" + "1" * 24
    settings.MANAGERS = [("Staff", "staff@example.com")]


@pytest.fixture
def finds(monkeypatch):
    """What Stripe's side of the comparison comes to."""

    def finds(*differences, unsold=(), error=None):
        def compare(**options):
            if error:
                raise error
            return SimpleNamespace(differences=list(differences), unsold=unsold)

        monkeypatch.setattr(nightly, "compare", compare)

    return finds


def test_runs_once_a_night_from_three_o_clock_on(finds):
    finds()
    assert nightly.claim(NIGHT - timedelta(minutes=1)) is None
    nightly.run(nightly.claim(NIGHT), now=NIGHT)
    assert nightly.claim(NIGHT + timedelta(hours=20)) is None
    assert nightly.claim(NIGHT + timedelta(days=1)).day == NIGHT.date() + timedelta(days=1)


def test_is_not_for_a_site_that_sells_nothing(settings):
    settings.STRIPE_SECRET_KEY = ""
    assert nightly.claim(NIGHT) is None


def test_says_nothing_when_all_is_well(finds, mailoutbox):
    finds()
    nightly.run(nightly.claim(NIGHT), now=NIGHT)
    night = Reconciliation.objects.get()
    assert (night.found, night.error, mailoutbox) == (0, "", [])
    assert night.finished_at is not None


def test_mails_staff_what_it_finds(finds, mailoutbox):
    finds(MISSING)
    nightly.run(nightly.claim(NIGHT), now=NIGHT)
    assert Reconciliation.objects.get().differences == [str(MISSING)]
    (mail,) = mailoutbox
    assert mail.to == ["staff@example.com"]
    assert "1 differences between Stripe and the books" in mail.subject
    assert "paid but not granted: in_1 cus_1, account 1, 900 usd" in mail.body


def test_tells_staff_once_of_a_charge_that_nobody_sold(finds, mailoutbox, account):
    charge = Difference(Kind.NOT_SOLD, "ch_1 cus_1", "by hand", account.pk, 700, "usd")
    finds(unsold=[charge])
    for day in range(2):
        night = NIGHT + timedelta(days=day)
        nightly.run(nightly.claim(night), now=night)
    assert [night.found for night in Reconciliation.objects.all()] == [0, 0]
    assert mailoutbox == []
    told = Notice.objects.get()
    assert told.kind == Notice.Kind.STAFF
    assert told.context["text"] == str(charge)
    assert told.context["path"] == f"/admin/credits/account/{account.pk}/change/"


def test_keeps_and_mails_only_the_first_of_very_many(finds, mailoutbox):
    finds(*[MISSING] * 1000)
    nightly.run(nightly.claim(NIGHT), now=NIGHT)
    night = Reconciliation.objects.get()
    assert (night.found, len(night.differences)) == (1000, nightly.MOST_KEPT)
    assert "… and 800 more" in mailoutbox[0].body


def test_mails_once_that_it_could_not_look_and_tries_again(finds, mailoutbox):
    finds(error=SellingUnavailable("Not now.", reason="Stripe is away"))
    nightly.run(nightly.claim(NIGHT), now=NIGHT)
    assert nightly.claim(NIGHT + timedelta(hours=1)) is None
    again = nightly.claim(NIGHT + timedelta(hours=2))
    nightly.run(again, now=NIGHT + timedelta(hours=2))
    assert len(mailoutbox) == 1
    assert "Stripe is away" in mailoutbox[0].body
    finds(MISSING)
    nightly.run(nightly.claim(NIGHT + timedelta(hours=4)), now=NIGHT)
    night = Reconciliation.objects.get()
    assert (night.error, night.found, len(mailoutbox)) == ("", 1, 2)


def test_that_died_with_its_worker_is_started_again_by_one(finds):
    assert nightly.claim(NIGHT)
    later = NIGHT + nightly.STARTED_AGAIN_AFTER
    assert nightly.claim(later - timedelta(minutes=1)) is None
    assert nightly.claim(later)
    assert nightly.claim(later) is None


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("after_a_death", [False, True])
def test_of_many_workers_one_does_it(after_a_death):
    if after_a_death:
        nightly.claim(NIGHT)
    moment = NIGHT + nightly.STARTED_AGAIN_AFTER

    def claim(number):
        try:
            return nightly.claim(moment + timedelta(microseconds=number))
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        claimed = [night for night in pool.map(claim, range(8)) if night]
    assert len(claimed) == 1


@pytest.mark.django_db(transaction=True)
def test_has_a_thread_of_its_own(finds, mailoutbox):
    finds(MISSING)
    thread = nightly.start_when_due(now=NIGHT)
    thread.join(10)
    assert len(mailoutbox) == 1
    assert nightly.start_when_due(now=NIGHT) is None


def test_staff_reads_the_nights_in_the_admin(finds, admin_client):
    finds(MISSING)
    nightly.run(nightly.claim(NIGHT), now=NIGHT)
    listing = reverse("admin:credits_reconciliation_changelist")
    assert "2026-03-10" in admin_client.get(listing).content.decode()
    night = Reconciliation.objects.get()
    page = reverse("admin:credits_reconciliation_change", args=[night.pk])
    shown = admin_client.get(page).content.decode()
    assert "paid but not granted: in_1 cus_1, account 1, 900 usd: not booked &lt;yet&gt;" in shown
    assert admin_client.post(page, {"found": 0}).status_code == 403
