"""The groups of staff: filled once, then the owners'."""

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission

from billing_site.accounts import roles
from billing_site.accounts.roles import BILLING, LOOK, READ_ONLY, ROLES, SUPPORT
from billing_site.models import RoleGrant

pytestmark = pytest.mark.django_db


def fill():
    roles.fill_groups(sender=apps.get_app_config("billing_site"), apps=apps, using="default")


def held(role):
    return {
        f"{permission.content_type.app_label}.{permission.codename}"
        for permission in Permission.objects.filter(group__name=role).select_related("content_type")
    }


@pytest.mark.parametrize("role", ROLES)
def test_have_after_migrate_just_what_the_table_says(role):
    assert held(role) == ROLES[role]


def test_each_one_may_do_what_the_one_before_may():
    assert ROLES[READ_ONLY] < ROLES[SUPPORT] < ROLES[BILLING]


def test_only_the_owners_make_staff_or_read_secrets():
    allowed = ROLES[BILLING]
    assert not allowed & {
        "accounts.add_user", "accounts.change_user", "accounts.delete_user", "auth.change_group",
        "accounts.erase_person", "accounts.export_person", "djstripe.view_event",
    }  # fmt: skip


def test_that_look_change_nothing():
    assert {name.partition(".")[2].partition("_")[0] for name in LOOK} == {"view"}


def test_keep_what_an_owner_added_and_not_what_an_owner_took_away():
    group = Group.objects.get(name=SUPPORT)
    group.permissions.add(Permission.objects.get(codename="refund_payment"))
    group.permissions.remove(Permission.objects.get(codename="add_adjustment"))

    fill()

    assert "credits.refund_payment" in held(SUPPORT)
    assert "credits.add_adjustment" not in held(SUPPORT)


def test_get_what_a_new_version_brings():
    RoleGrant.objects.filter(permission="credits.view_notice").delete()
    group = Group.objects.get(name=READ_ONLY)
    group.permissions.remove(Permission.objects.get(codename="view_notice"))

    fill()

    assert held(READ_ONLY) == LOOK


def test_that_an_owner_deleted_do_not_come_back():
    Group.objects.filter(name=SUPPORT).delete()
    fill()
    assert not Group.objects.filter(name=SUPPORT).exists()


def test_limits_name_them(settings):
    assert set(settings.ADJUSTMENT_LIMITS) <= set(ROLES)
