"""The menu of the admin has every list once, for who may open it."""

import pytest
from django.contrib import admin
from django.urls import reverse

from billing_site.console.menu import MENU

pytestmark = pytest.mark.django_db


def groups(client):
    menu = client.get(reverse("admin:index")).context["sidebar_navigation"]
    return {
        group.get("title", ""): [str(item["title"]) for item in group["items"]] for group in menu
    }


def test_names_only_lists_that_exist():
    known = {model._meta.label_lower for model in admin.site._registry}
    assert {name for _title, names in MENU for name in names} <= known


def test_of_an_owner_has_every_list_once(staff):
    found = [title for titles in groups(staff()).values() for title in titles]
    assert len(found) == len(admin.site._registry) + 1  # the front page


def test_has_only_what_the_person_may_open(staff):
    assert groups(staff("view_account", "view_payment")) == {
        "": ["Overview"],
        "Customers": ["Accounts"],
        "Money": ["Payments"],
    }
