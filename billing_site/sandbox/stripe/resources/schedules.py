"""Subscription schedules, and what an invoice would say if a subscription were changed."""

import copy

from billing_site.sandbox.stripe import billing, changes, forms, schedules
from billing_site.sandbox.stripe.errors import StripeError
from billing_site.sandbox.stripe.forms import Params
from billing_site.sandbox.stripe.rest import page, route
from billing_site.sandbox.stripe.store import Object, Store


@route("POST", "/v1/subscription_schedules", "SubscriptionScheduleCreateParams")
def create_schedule(store: Store, params: Params) -> Object:
    if "from_subscription" not in params:
        raise StripeError("The sandbox makes schedules from subscriptions only.")
    subscription = forms.required(params, "from_subscription")
    return schedules.from_subscription(
        store, store.get("subscription", subscription, "from_subscription")
    )


@route("GET", "/v1/subscription_schedules", "SubscriptionScheduleListParams")
def list_schedules(store: Store, params: Params) -> Object:
    return page(store, "/v1/subscription_schedules", "subscription_schedule", params, "customer")


@route("GET", "/v1/subscription_schedules/*")
def retrieve_schedule(store: Store, params: Params, schedule_id: str) -> Object:
    return store.get("subscription_schedule", schedule_id)


@route("POST", "/v1/subscription_schedules/*", "SubscriptionScheduleUpdateParams")
def update_schedule(store: Store, params: Params, schedule_id: str) -> Object:
    schedule = store.get("subscription_schedule", schedule_id)
    schedules.update(store, schedule, params)
    return schedule


@route("POST", "/v1/subscription_schedules/*/release", "SubscriptionScheduleReleaseParams")
def release_schedule(store: Store, params: Params, schedule_id: str) -> Object:
    schedule = store.get("subscription_schedule", schedule_id)
    schedules.release(store, schedule)
    return schedule


@route("POST", "/v1/subscription_schedules/*/cancel", "SubscriptionScheduleCancelParams")
def cancel_schedule(store: Store, params: Params, schedule_id: str) -> Object:
    """Ends the subscription as well, like Stripe."""
    schedule = store.get("subscription_schedule", schedule_id)
    schedules.refuse_ended(schedule)
    subscription = store.get("subscription", schedule["subscription"])
    billing.end(store, subscription, "cancellation_requested")
    return schedule


@route("POST", "/v1/invoices/create_preview", "InvoiceCreatePreviewParams")
def create_preview(store: Store, params: Params) -> Object:
    """The numbers of the change itself: the same lines, made on a copy and kept nowhere."""
    real = store.get("subscription", forms.required(params, "subscription"), "subscription")
    details = forms.table(params, "subscription_details")
    subscription = copy.deepcopy(real)
    wanted, behavior, moment = changes.read(store, subscription, details)
    if not wanted or behavior != "always_invoice":
        raise StripeError("The sandbox previews changes with always_invoice only.")
    lines = changes.lines_of(store, subscription, wanted, behavior, moment)
    lines = [*copy.deepcopy(store.private(real["id"])["pending"]), *lines]
    invoice = billing.assembled(store, subscription, "upcoming", lines)
    balance = store.get("customer", invoice["customer"])["balance"]
    due = max(invoice["total"] + balance, 0)
    return invoice | {
        "id": f"upcoming_{invoice['id']}",
        "starting_balance": balance,
        "ending_balance": min(invoice["total"] + balance, 0),
        "amount_due": due,
        "amount_remaining": due,
    }
