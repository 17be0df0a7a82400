"""What Stripe says about a schedule: which plan a subscription is to have when its period ends."""

from credits.models import PlanSchedule, Subscription
from credits.payments import tell
from credits.payments.outcomes import Done, Event, locked_account
from credits.payments.readers import Phase, phases, required, text
from credits.payments.subscriptions import ENDED

IN_FORCE = ("active", "not_started")


def apply_schedule(event: Event) -> Done:
    """`subscription_schedule.*`: keeps the newest state. It moves no credits."""
    schedule_id = required(event.object, "id")
    account = locked_account(required(event.object, "customer"))
    active = required(event.object, "status") in IN_FORCE
    known = PlanSchedule.objects.filter(schedule_id=schedule_id).first()
    if known is None or _is_news(known, event, active=active):
        running, ahead = phases(event.object) if active else (None, None)
        new, _created = PlanSchedule.objects.update_or_create(
            schedule_id=schedule_id,
            defaults={
                "account": account,
                "subscription_id": (
                    text(event.object, "subscription")
                    or text(event.object, "released_subscription")
                ),
                "active": active,
                "price_id": ahead.price_id if ahead else "",
                "begins_at": ahead.begins_at if ahead else None,
                "as_of": event.created_at,
            },
        )
        if running and ahead and _plans_another(known, new, running, event):
            tell.change_planned(account, schedule_id, running, ahead, event)
    return Done(f"schedule:{schedule_id}", account.pk)


def _is_news(known: PlanSchedule, event: Event, *, active: bool) -> bool:
    """Later news, or the end, which nothing follows. Within one second the birth is the oldest."""
    if not known.active or not active:
        return known.active
    if event.created_at == known.as_of:
        return event.type != "subscription_schedule.created"
    return event.created_at > known.as_of


def _plans_another(
    known: PlanSchedule | None, new: PlanSchedule, running: Phase, event: Event
) -> bool:
    """Whether another plan is ahead, of which the customer has not been told."""
    if new.price_id == running.price_id or new.begins_at is None or new.begins_at <= event.now:
        return False
    if known and (known.price_id, known.begins_at) == (new.price_id, new.begins_at):
        return False
    over = Subscription.objects.filter(subscription_id=new.subscription_id, status__in=ENDED)
    return not over.exists()
