"""Subscription schedules: what a subscription becomes when its period ends.

https://docs.stripe.com/billing/subscriptions/subscription-schedules
"""

from billing_site.sandbox.stripe import forms, items, periods, shapes_schedules
from billing_site.sandbox.stripe.errors import StripeError, invalid
from billing_site.sandbox.stripe.events import emit
from billing_site.sandbox.stripe.forms import Params
from billing_site.sandbox.stripe.store import Object, Store


def from_subscription(store: Store, subscription: Object) -> Object:
    """A schedule whose one phase is the running period. Raises StripeError."""
    if subscription["schedule"]:
        raise invalid(
            "from_subscription",
            "You cannot migrate a subscription that is already attached to a schedule: "
            f"{subscription['schedule']}.",
        )
    if subscription["status"] in ("canceled", "incomplete_expired"):
        raise invalid("from_subscription", "The subscription has ended.")
    first = subscription["items"]["data"][0]
    phase = shapes_schedules.phase(
        [(item["price"]["id"], item["quantity"]) for item in subscription["items"]["data"]],
        subscription["currency"],
        start=first["current_period_start"],
        end=first["current_period_end"],
        is_trial=subscription["status"] == "trialing",
    )
    schedule = shapes_schedules.schedule(
        store.new_id("sub_sched"), store.now(), subscription=subscription, phase=phase
    )
    store.add(schedule)
    subscription["schedule"] = schedule["id"]
    emit(store, "subscription_schedule.created", schedule)
    emit(store, "customer.subscription.updated", subscription, schedule=None)
    return schedule


def update(store: Store, schedule: Object, params: Params) -> None:
    """New phases after the running one. Raises StripeError."""
    refuse_ended(schedule)
    if forms.choice(params, "end_behavior", "release", "cancel") == "cancel":
        raise StripeError("The sandbox only releases subscriptions at a schedule's end.")
    phases = _phases(store, schedule, params)
    if phases:
        before, schedule["phases"] = schedule["phases"], phases
        emit(store, "subscription_schedule.updated", schedule, phases=before)


def _phases(store: Store, schedule: Object, params: Params) -> list[Object]:
    found: list[Object] = []
    if not forms.tables(params, "phases"):
        return found
    for row in forms.tables(params, "phases"):
        prices = [
            (forms.required(item, "price"), forms.positive(item, "quantity", 1))
            for item in forms.tables(row, "items")
        ]
        start = found[-1]["end_date"] if found else forms.whole(row, "start_date")
        end = forms.whole(row, "end_date") or _end(store, row, prices, start)
        currency = schedule["phases"][0]["currency"]
        is_trial = forms.flag(row, "trial")
        found.append(
            shapes_schedules.phase(prices, currency, start=start, end=end, is_trial=is_trial)
        )
    running = [row for row in schedule["phases"] if row["start_date"] == found[0]["start_date"]]
    if found[:1] != running:
        raise invalid("phases", "The sandbox cannot change the phase that is running.")
    return found


def _end(store: Store, row: Params, prices: list[tuple[str, int]], start: int) -> int:
    if not prices:
        raise invalid("phases", "A phase needs items.")
    duration = forms.table(row, "duration")
    recurring = store.get("price", prices[0][0], "phases[items][price]")["recurring"]
    interval = forms.text(duration, "interval", recurring["interval"])
    return periods.add(start, interval, forms.positive(duration, "interval_count", 1))


def refuse_ended(schedule: Object) -> None:
    if schedule["status"] != "active":
        raise StripeError(
            f"The subscription schedule is in the `{schedule['status']}` status: it must be active."
        )


def release(store: Store, schedule: Object) -> None:
    """The subscription goes on without it."""
    refuse_ended(schedule)
    subscription = store.get("subscription", schedule["subscription"])
    schedule |= {
        "status": "released",
        "released_at": store.now(),
        "released_subscription": subscription["id"],
        "subscription": None,
        "current_phase": None,
    }
    subscription["schedule"] = None
    emit(store, "subscription_schedule.released", schedule, status="active")
    emit(store, "customer.subscription.updated", subscription, schedule=schedule["id"])


def cancel(store: Store, subscription: Object) -> None:
    """With the subscription its schedule has ended."""
    if not subscription["schedule"]:
        return
    schedule = store.get("subscription_schedule", subscription["schedule"])
    schedule |= {"status": "canceled", "canceled_at": store.now(), "current_phase": None}
    emit(store, "subscription_schedule.canceled", schedule, status="active")


def turn(store: Store, subscription: Object, moment: int) -> None:
    """The period ends at `moment`: the next phase begins, or the schedule is over."""
    if not subscription["schedule"]:
        return
    schedule = store.get("subscription_schedule", subscription["schedule"])
    phase = next((row for row in schedule["phases"] if row["start_date"] == moment), None)
    if phase is None:
        if moment >= schedule["phases"][-1]["end_date"]:
            release(store, schedule)
        return
    for item, wanted in zip(subscription["items"]["data"], phase["items"], strict=True):
        items.put(item, store.get("price", wanted["price"]), wanted["quantity"])
    schedule["current_phase"] = {name: phase[name] for name in ("start_date", "end_date")}
    emit(store, "subscription_schedule.updated", schedule)
