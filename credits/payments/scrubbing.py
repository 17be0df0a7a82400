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
    "address", "billing_details", "business_name", "card", "custom_fields", "customer_address",
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
    models_of_it = apps.get_app_config("djstripe").get_models()
    return sum(_scrub_copies(model, customer_id) for model in models_of_it)


def _scrub_copies(model: type[models.Model], customer_id: str) -> int:
    columns = {field.name for field in model._meta.concrete_fields}
    if "stripe_data" not in columns:
        return 0
    theirs = Q(stripe_data__id=customer_id)
    theirs |= Q(stripe_data__customer=customer_id)
    theirs |= Q(stripe_data__data__object__customer=customer_id)  # of events
    changed = 0
    for row in model._default_manager.filter(theirs):
        changes = {
            name: without_person(getattr(row, name)) for name in columns & {"stripe_data", "data"}
        }
        if "email" in columns:
            changes["email"] = ""
        changed += model._default_manager.filter(pk=row.pk).update(**changes)
    return changed
