"""The people that quickstart makes, with credits to try the site with."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from allauth.account.models import EmailAddress
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group

from billing_site.accounts import roles
from credits import services
from credits.models import Pool

PASSWORD = "try-it-out"  # noqa: S105 (printed by quickstart, which refuses public sites)


@dataclass(frozen=True)
class Person:
    """`role` is the group of staff; owners have none and may do everything."""

    email: str
    is_staff: bool
    role: str = ""


CUSTOMER = Person("demo@example.com", is_staff=False)
STAFF = Person("staff@example.com", is_staff=True)
SUPPORT = Person("support@example.com", is_staff=True, role=roles.SUPPORT)
BILLING = Person("billing@example.com", is_staff=True, role=roles.BILLING)
DESK = (STAFF, SUPPORT, BILLING)


def make_people(*, now: datetime) -> int:
    """The demo customer with 5 subscription and 50 bulk credits, and DESK. Idempotent.

    Returns the customer's account id.
    """
    customer = make(CUSTOMER)
    for person in DESK:
        make(person)
    account_id: int = services.open_account(user_id=customer.pk, now=now).pk
    services.grant(
        account_id=account_id,
        pool=Pool.SUBSCRIPTION,
        amount=5,
        source_key=f"demo:subscription:{account_id}",
        expires_at=now + timedelta(days=30),
        now=now,
        actor="quickstart",
        note="For trying out",
    )
    services.grant(
        account_id=account_id,
        pool=Pool.BULK,
        amount=50,
        source_key=f"demo:bulk:{account_id}",
        now=now,
        actor="quickstart",
        note="For trying out",
    )
    return account_id


def make(person: Person) -> Any:
    """The user, who can sign in; made unless it is there."""
    user_model = get_user_model()
    user = user_model.objects.filter(email=person.email).first()
    if user is None:
        user = user_model.objects.create_user(
            person.email,
            PASSWORD,
            is_staff=person.is_staff,
            is_superuser=person.is_staff and not person.role,
        )
        user.groups.set(Group.objects.filter(name=person.role))
    EmailAddress.objects.get_or_create(
        user=user, email=person.email, defaults={"verified": True, "primary": True}
    )
    return user
