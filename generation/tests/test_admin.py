"""Staff finds what a customer's generation was paid with, and does not read what was written."""

import pytest
from django.contrib.auth import get_user_model
from django.urls import reverse

from generation.tests.cast import give, request

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client):
    client.force_login(get_user_model().objects.create_superuser("owner@example.com", "pw"))
    return client


@pytest.fixture
def generation(account, now):
    give(account, now)
    return request(account, now, idempotency_key="my-key")


def listed(client, name, word):
    page = client.get(reverse(f"admin:{name}_changelist"), {"q": word})
    return list(page.context["cl"].result_list)


@pytest.mark.parametrize("form", ["{pk}", "generation:{pk}", "my-key"])
def test_the_books_are_searched_by_it_and_by_the_key_of_its_request(staff, generation, form):
    word = form.format(pk=generation.pk)
    assert listed(staff, "credits_hold", word) == [generation.hold]
    found = listed(staff, "credits_ledgerentry", word)
    assert [line.hold for line in found] == [generation.hold]


@pytest.mark.parametrize("form", ["{pk}", "my-key"])
def test_it_is_found_itself(staff, generation, form):
    assert listed(staff, "generation_generation", form.format(pk=generation.pk)) == [generation]


def test_its_file_leaves_out_what_staff_may_not_read(staff, generation):
    head = next(staff.get(reverse("admin:generation_generation_export")).streaming_content)
    columns = head.decode("utf-8-sig").strip().split(",")
    assert "idempotency_key" in columns
    assert not {"prompt", "output"} & set(columns)
