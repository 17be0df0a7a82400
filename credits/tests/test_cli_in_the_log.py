"""Commands that write stand in the audit log, as cli:<user>, once for each thing they did."""

import pytest

from credits.models import Account, StaffAction
from credits.tests.commands import run_command

pytestmark = pytest.mark.django_db


def logged():
    found = StaffAction.objects.order_by("id")
    assert all(action.actor.startswith("cli:") for action in found)
    return [(action.action, action.target, action.after) for action in found]


def email(account):
    return account.user.email


def test_grant_credits_and_not_what_was_granted_before(account):
    for _twice in range(2):
        run_command(
            "grant_credits", email(account), "7", "--pool", "bulk", "--reason", "r", "--key", "t1"
        )
    assert logged() == [("credits.grant", "manual:t1", {"pool": "bulk", "amount": 7})]


def test_link_customer(account):
    run_command("link_customer", email(account), "cus_1")
    assert logged() == [("account.link", "cus_1", {})]


def test_import_balances_a_line_for_each_account(db, tmp_path):
    file = tmp_path / "b.csv"
    file.write_text("email,subscription_credits,bulk_credits\na@x.org,1,2\nb@x.org,0,3\n")
    for _twice in range(2):
        run_command("import_balances", file)
    assert logged() == [
        ("account.import", "", {"subscription": 1, "bulk": 2}),
        ("account.import", "", {"subscription": 0, "bulk": 3}),
    ]
    assert StaffAction.objects.filter(account__in=Account.objects.all()).count() == 2


def test_init_pricing_and_not_when_nothing_changed(db):
    for _twice in range(2):
        run_command("init_pricing")
    [(action, _target, done)] = logged()
    assert action == "offer.init"
    assert done["added"]


def test_create_api_key(account):
    run_command("create_api_key", email(account))
    [(action, target, after)] = logged()
    assert (action, target) == ("apikey.create", f"user:{account.user_id}")
    assert after["prefix"].startswith("bs_")
