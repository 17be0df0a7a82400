"""What Stripe says about a schedule: which plan a subscription is to have when its period ends."""

from credits.models import PlanSchedule
from credits.payments.outcomes import Done, Event, locked_account
from credits.payments.readers import next_phase, required, text

IN_FORCE = ("active", "not_started")


def apply_schedule(event: Event) -> Done:
    """`subscription_schedule.*`: keeps the newest state. It moves no credits."""
    schedule_id = required(event.object, "id")
    account = locked_account(required(event.object, "customer"))
    active = required(event.object, "status") in IN_FORCE
    known = PlanSchedule.objects.filter(schedule_id=schedule_id).first()
    if known is None or _is_news(known, event, active=active):
        price_id, begins_at = next_phase(event.object) if active else ("", None)
        PlanSchedule.objects.update_or_create(
            schedule_id=schedule_id,
            defaults={
                "account": account,
                "subscription_id": (
                    text(event.object, "subscription")
                    or text(event.object, "released_subscription")
                ),
                "active": active,
                "price_id": price_id,
                "begins_at": begins_at,
                "as_of": event.created_at,
            },
        )
    return Done(f"schedule:{schedule_id}", account.pk)


def _is_news(known: PlanSchedule, event: Event, *, active: bool) -> bool:
    """Later news, or the end, which nothing follows. Within one second the birth is the oldest."""
    if not known.active or not active:
        return known.active
    if event.created_at == known.as_of:
        return event.type != "subscription_schedule.created"
    return event.created_at > known.as_of
