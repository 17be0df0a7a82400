"""What the site adds to the customer page: generations, and API keys that name their owner."""

from uuid import uuid4

import pytest
from django.urls import reverse
from django.utils import timezone

from billing_site.accounts import services as accounts
from generation import services
from generation.tests.cast import finish, give, give_token, request, start

pytestmark = pytest.mark.django_db


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def found(staff, account, new_account):
    new_account()  # somebody else
    client = staff()

    def search(term):
        listing = client.get(reverse("admin:credits_account_changelist"), {"q": term})
        if listing.status_code == 302:  # one is shown at once
            return {int(listing["Location"].split("/")[-3])}
        return {row.pk for row in listing.context["cl"].result_list}

    return search


def history(client, account, **query):
    url = reverse("admin:credits_account_change", args=[account.pk])
    return client.get(url, query)


def test_an_account_is_found_by_a_generation(found, account, now):
    give(account, now)
    generation = request(account, now)
    for term in (str(generation.pk), generation.pk.hex, f"generation:{generation.pk}"):
        assert found(term) == {account.pk}, term
    assert found(str(uuid4())) == set()


def test_an_account_is_found_by_an_api_key(found, account, now):
    key, plain = accounts.create_api_key(user=account.user, name="k", now=now)
    assert found(plain) == found(key.prefix) == {account.pk}
    accounts.revoke_api_key(key=key, now=now)
    assert found(plain) == {account.pk}, "also when it is revoked"
    assert found("bs_") == found(plain[:-1]) == set()
    key.refresh_from_db()
    assert key.last_used_at is None, "looking for it is no use of it"


def test_the_timeline_tells_of_generations_but_not_what_they_say(staff, account, now):
    give(account, now)
    give_token(account, now)
    finish(start(account, now, prompt="my secret"), now, output="its secret")
    request(account, now, funding="retail")
    page = history(staff(), account, kind="generations")
    told = sorted(item.told.words for item in page.context["timeline"].items)
    assert told[0].startswith("A text for 1 credit (") and told[0].endswith(": done")
    assert told[1].startswith("A text for a single generation (") and told[1].endswith(": queued")
    assert "secret" not in page.content.decode()


def test_a_generation_that_failed_says_why_in_the_words_that_its_customer_reads(
    staff, account, now
):
    give(account, now)
    generation = start(account, now)
    services.fail(claimed=generation, code="backend_unavailable", permanent=True, now=now)
    page = history(staff(), account, kind="generations")
    [item] = page.context["timeline"].items
    assert item.told.words.endswith("failed. The model cannot be reached.")


def test_generations_are_shown_to_who_may_see_them(staff, account, now):
    give(account, now)
    request(account, now)
    page = history(staff("view_account", "view_ledgerentry"), account)
    assert {source.kind for source in page.context["sources"]} == {"ledger"}


def test_the_page_leads_to_the_person(staff, account):
    url = reverse("admin:accounts_user_change", args=[account.user_id])
    assert url in history(staff(), account).content.decode()


def test_the_person_is_not_linked_for_who_may_not_see_people(staff, account):
    url = reverse("admin:accounts_user_change", args=[account.user_id])
    assert url not in history(staff("view_account"), account).content.decode()
