"""manage.py link_customer: support ties an existing Stripe customer to an account."""

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from credits.models import Account, InboxEvent

pytestmark = pytest.mark.django_db


def link(account, customer="cus_1"):
    call_command("link_customer", account.user.email, customer)


def test_links_and_says_so(account, capsys):
    link(account)
    account.refresh_from_db()
    assert account.stripe_customer_id == "cus_1"
    assert "cus_1 is linked to" in capsys.readouterr().out


def test_twice_changes_nothing(account):
    link(account)
    link(account)
    assert Account.objects.get().stripe_customer_id == "cus_1"


def test_has_the_events_that_waited_applied_next(account, now, capsys):
    waiting = {
        "type": "invoice.paid", "created_at": now, "received_at": now, "next_attempt_at": now,
        "state": InboxEvent.State.WAITING,
    }  # fmt: skip
    for number, customer in enumerate(["cus_1", "cus_10"]):
        InboxEvent.objects.create(
            event_id=f"evt_{number}",
            reason=f"No account is linked to customer {customer}: manage.py link_customer.",
            **waiting,
        )
    link(account)
    assert "1 waiting events" in capsys.readouterr().out


def test_a_customer_of_another_account_is_refused(new_account):
    link(new_account())
    with pytest.raises(CommandError, match="cannot be linked"):
        link(new_account())


def test_a_second_customer_is_refused(account):
    link(account)
    with pytest.raises(CommandError, match="cannot be linked"):
        link(account, "cus_2")


@pytest.mark.parametrize("customer", ["sub_1", "cus_", "cus_1; DROP", "cus_\0", "x" * 300])
def test_what_is_no_customer_is_refused(account, customer):
    with pytest.raises(CommandError, match="not the id of a Stripe customer"):
        link(account, customer)
