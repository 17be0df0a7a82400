"""What Stripe says about a subscription: it never brings credits; its end takes unspent ones."""

from credits import services
from credits.models import Account, CreditLot, Pool, Subscription
from credits.payments import tell
from credits.payments.outcomes import Done, Event, locked_account
from credits.payments.readers import (
    pending_change,
    planned_end,
    required,
    subscription_period_end,
    subscription_price,
)

ENDED = ("canceled", "unpaid", "incomplete_expired")


def apply_change(event: Event) -> Done:
    """`customer.subscription.*`: keeps the newest state; ends the credits of an ended one."""
    subscription_id = required(event.object, "id")
    account = locked_account(required(event.object, "customer"))
    status = required(event.object, "status")
    if event.type == "customer.subscription.deleted":
        status = "canceled"
    known = Subscription.objects.filter(subscription_id=subscription_id).first()
    pending_price_id, pending_until = pending_change(event.object)
    if known is None or _is_news(known, event, status):
        Subscription.objects.update_or_create(
            subscription_id=subscription_id,
            defaults={
                "account": account,
                "status": status,
                "price_id": subscription_price(event.object),
                "period_end": subscription_period_end(event.object),
                "cancel_at_period_end": planned_end(event.object) is not None,
                "pending_price_id": pending_price_id,
                "pending_until": pending_until,
                "as_of": event.created_at,
            },
        )
        if status not in ENDED:
            _tell_what_is_planned(account, known, event)
    if status in ENDED and _owns_credits(account.pk, subscription_id):
        services.end_subscription(
            account_id=account.pk, reference=subscription_id, now=event.now, actor="stripe"
        )
        tell.subscription_ended(account, subscription_id, status, event.now)
    return Done(f"subscription:{subscription_id}", account.pk)


def _tell_what_is_planned(account: Account, known: Subscription | None, event: Event) -> None:
    """That it is to end with its period, or is not any more.

    Of two events in one second nobody knows which is the later one, so that it is not taken back.
    """
    was_ending = known is not None and known.cancel_at_period_end
    ends_at = planned_end(event.object)
    if ends_at and not was_ending:
        tell.end_planned(account, ends_at, event)
    elif known and was_ending and not ends_at and event.created_at > known.as_of:
        tell.plan_resumed(account, event)


def _is_news(known: Subscription, event: Event, status: str) -> bool:
    """Later news, or the end: nothing follows the end.

    Stripe's times have whole seconds. Of two events in one second, the birth is the older one, and
    a subscription that is paid does not become incomplete again.
    """
    if known.status == "canceled":
        return False
    if event.created_at == known.as_of:
        return event.type != "customer.subscription.created" and status != "incomplete"
    return event.created_at > known.as_of or status == "canceled"


def _owns_credits(account_id: int, subscription_id: str) -> bool:
    """Whether the newest period belongs to this subscription, not to one that came after it."""
    lots = CreditLot.objects.filter(account_id=account_id, pool=Pool.SUBSCRIPTION)
    newest = lots.filter(terms__has_key="subscription").order_by("-id").first()
    return newest is not None and newest.terms["subscription"] == subscription_id
