"""Who a customer is, taken out of what Stripe has sent; what money needs stays.

Rules read ids, amounts, periods, states and the metadata that our server wrote. None of these is
touched, so a scrubbed event can be applied again and comes to the same.
"""

import json
from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.db import models, transaction
from django.db.models import Q

from credits.models import Account, InboxEvent

# Keys whose values say who somebody is, in any object of https://docs.stripe.com/api
PERSONAL = {
    "address", "billing_details", "business_name", "custom_fields", "customer_address",
    "customer_details", "customer_email", "customer_name", "customer_phone", "customer_shipping",
    "customer_tax_ids", "email", "evidence", "hosted_invoice_url", "individual_name", "invoice_pdf",
    "name", "payment_method_details", "phone", "receipt_email", "receipt_url",
    "shipping", "shipping_address", "shipping_details", "tax_ids",
}  # fmt: skip


def scrub_events(*, account_id: int) -> int:
    """Empties personal data in the account's stored events; returns how many it changed.

    Each in a transaction of its own, locked, because a worker may be about to write the row.
    """
    account = Account.objects.get(pk=account_id)
    theirs = Q(account_id=account_id)
    if customer_id := account.stripe_customer_id:
        theirs |= Q(body__contains=f'"{customer_id}"')  # ignored events have no account
    changed = _scrub(InboxEvent.objects.filter(theirs).values_list("pk", flat=True))
    if customer_id:
        changed += _scrub_djstripe(customer_id)
    return changed


def without_person(value: Any) -> Any:
    """The same JSON value with null in place of everything personal."""
    if isinstance(value, dict):
        return {
            key: None if key in PERSONAL else without_person(inner) for key, inner in value.items()
        }
    if isinstance(value, list):
        return [without_person(inner) for inner in value]
    return value


def _scrub(ids: Iterable[int]) -> int:
    return sum(_scrub_event(pk) for pk in list(ids))


@transaction.atomic
def _scrub_event(pk: int) -> bool:
    event = InboxEvent.objects.select_for_update().get(pk=pk)
    content = json.loads(event.body)
    scrubbed = {**content, "data": without_person(content["data"])}
    if scrubbed == content:
        return False
    event.body = json.dumps(scrubbed)
    event.save(update_fields=["body"])
    return True


def _scrub_djstripe(customer_id: str) -> int:
    """Copies that dj-stripe keeps, where somebody feeds it."""
    changed = 0
    for model in apps.get_app_config("djstripe").get_models():
        if not any(field.name == "stripe_data" for field in model._meta.get_fields()):
            continue
        changed += _scrub_copies(model, customer_id)
    return changed


def _scrub_copies(model: type[models.Model], customer_id: str) -> int:
    theirs = Q(id=customer_id) | Q(stripe_data__customer=customer_id)
    rows = model._default_manager.filter(theirs)
    for row in rows:
        row.stripe_data = without_person(row.stripe_data)  # type: ignore[attr-defined]
        row.save(update_fields=["stripe_data"])
    return len(rows)
