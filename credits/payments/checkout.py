"""Selling through hosted Checkout: one click, one session. Nothing here grants anything.

What was bought is delivered when Stripe says that it was paid (purchases.py, invoices.py).
The click is written down in one short transaction, and Stripe is asked after that, with a key
made from that row: a repeated click finds the row, and Stripe answers with the same session.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import stripe
from django.conf import settings
from django.db import transaction
from django.db.models import Max, Q, QuerySet
from stripe.params.checkout import SessionCreateParams

from credits import services
from credits.models import (
    Account,
    CheckoutStart,
    CreditLot,
    InboxEvent,
    Offer,
    RetailToken,
    Subscription,
)
from credits.payments.client import SellingUnavailable, asking, connect
from credits.payments.customers import customer_of
from credits.payments.portal import LIVE, live_subscription
from credits.payments.purchases import MOST_PIECES
from credits.payments.readers import Object, text
from credits.payments.trials import trial_days

MOST_AN_HOUR = 10  # stolen cards are tried out by the hundred
HOUR = timedelta(hours=1)
SESSION_LIFE = timedelta(hours=24)  # Stripe's own for a Checkout session
UNDER_WAY = timedelta(minutes=5)  # a click without a session that is older was never led anywhere


class Stage(StrEnum):
    """What a customer who comes back from Checkout is told."""

    UNCONFIRMED = "unconfirmed"  # Stripe has not said anything yet
    PROCESSING = "processing"  # a payment that takes days
    FAILED = "failed"  # and did not succeed
    ARRIVING = "arriving"  # paid, not booked yet
    ARRIVED = "arrived"


@dataclass(frozen=True)
class Progress:
    """How far a purchase is, and what it brought."""

    stage: Stage
    credits: int = 0
    tokens: int = 0


class OfferNotForSale(Exception):
    """There is no such offer, or it is no longer sold."""


class InvalidQuantity(Exception):
    """Packs and single generations are sold 1 to MOST_PIECES at a time, plans one."""


class AlreadySubscribed(Exception):
    """The account has a plan: it is changed (plan_changes.py), not bought twice."""

    def __init__(self) -> None:
        super().__init__(
            "This account has a plan already. Change it under “Your plan”, or wait until it has "
            "ended."
        )


class TooManyCheckouts(Exception):
    """More than MOST_AN_HOUR new sessions within an hour."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(
            f"At most {MOST_AN_HOUR} purchases can be started in an hour. "
            "Finish one that is open, or try again later."
        )
        self.retry_after_seconds = retry_after_seconds


def start(*, account_id: int, offer_slug: str, quantity: int, click_key: str, now: datetime) -> str:
    """The address of the hosted page where this click is paid. Repeating the click opens no other.

    Raises OfferNotForSale, InvalidQuantity, SellingUnavailable, services.AccountFrozen,
    AlreadySubscribed, TooManyCheckouts, and services.IdempotencyConflict for a key that was used
    for something else.
    """
    offer = Offer.objects.filter(slug=offer_slug, active=True).first()
    if offer is None:
        raise OfferNotForSale("There is no such offer.")
    _check_quantity(offer, quantity)
    client = connect()
    if not offer.stripe_price_id:
        raise SellingUnavailable(
            f"{offer.name} cannot be bought at the moment.",
            reason=f"{offer.slug} has no Stripe price: run manage.py init_pricing.",
        )
    click = _write_down(account_id, offer, quantity, click_key, now)
    if click.url:
        return click.url
    customer_id = customer_of(account_id=account_id, now=now)
    with asking():
        if offer.kind == Offer.Kind.PLAN:
            _close_earlier_plans(client, click, customer_id, now)
        session = _open(client, click, offer, customer_id)
        _refuse_if_frozen(client, account_id, session.id)
    click.session_id, click.url = session.id, session.url or ""
    click.save(update_fields=["session_id", "url"])
    return click.url


def progress(*, account_id: int, session_id: str) -> Progress:
    """What has become of a session: it reads what has arrived here, and asks nobody.

    Raises CheckoutStart.DoesNotExist unless the session is one of this account's.
    """
    CheckoutStart.objects.exclude(session_id="").get(account_id=account_id, session_id=session_id)
    events = InboxEvent.objects.filter(object_id=session_id, type__startswith="checkout.session.")
    told = {event.type: json.loads(event.body)["data"]["object"] for event in events}
    lots = CreditLot.objects.filter(account_id=account_id)
    delivered = Q(source_key=f"checkout:{session_id}")
    if subscription := next((text(session, "subscription") for session in told.values()), ""):
        delivered |= Q(terms__subscription=subscription)
    lot = lots.filter(delivered).order_by("id").first()
    tokens = RetailToken.objects.filter(
        account_id=account_id, source_key__startswith=f"checkout:{session_id}:"
    ).count()
    if lot or tokens:
        return Progress(Stage.ARRIVED, credits=lot.granted if lot else 0, tokens=tokens)
    return Progress(_stage(told))


def _stage(told: dict[str, Object]) -> Stage:
    """From the session as each type of event showed it."""
    if "checkout.session.async_payment_succeeded" in told:
        return Stage.ARRIVING
    if "checkout.session.async_payment_failed" in told:
        return Stage.FAILED
    completed = told.get("checkout.session.completed")
    if completed is None:
        return Stage.UNCONFIRMED
    unpaid = text(completed, "payment_status") == "unpaid"
    return Stage.PROCESSING if unpaid else Stage.ARRIVING


def _check_quantity(offer: Offer, quantity: int) -> None:
    most = 1 if offer.kind == Offer.Kind.PLAN else MOST_PIECES
    if not 1 <= quantity <= most:
        words = f"from 1 to {most}" if most > 1 else "1 for a plan"
        raise InvalidQuantity(f"The quantity has to be {words}.")


@transaction.atomic
def _write_down(
    account_id: int, offer: Offer, quantity: int, click_key: str, now: datetime
) -> CheckoutStart:
    """The row of this click, after everything that speaks against it, under the account's lock."""
    account = Account.objects.locked().get(pk=account_id)
    if account.status == Account.Status.FROZEN:
        raise services.AccountFrozen
    if offer.kind == Offer.Kind.PLAN and live_subscription(account_id=account_id):
        raise AlreadySubscribed
    clicks = CheckoutStart.objects.filter(account=account)
    if earlier := clicks.filter(click_key=click_key).first():
        if (earlier.offer, earlier.quantity) != (offer.slug, quantity):
            raise services.IdempotencyConflict(click_key)
        return earlier
    latest = clicks.order_by("-created_at").values_list("created_at", flat=True)
    at_the_limit = latest[MOST_AN_HOUR - 1 : MOST_AN_HOUR].first()
    if at_the_limit is not None and at_the_limit > now - HOUR:
        raise TooManyCheckouts(int((at_the_limit + HOUR - now).total_seconds()) + 1)
    # Clicks have an order, also those of one moment: see _close_earlier_plans.
    newest = clicks.aggregate(newest=Max("created_at"))["newest"]
    moment = now if newest is None else max(now, newest + timedelta(microseconds=1))
    return clicks.create(
        account=account, click_key=click_key, offer=offer.slug, quantity=quantity, created_at=moment
    )


def _open(
    client: stripe.StripeClient, click: CheckoutStart, offer: Offer, customer_id: str
) -> stripe.checkout.Session:
    """The session of this click, which is made by whoever asks for it first."""
    params = _params(offer, click.quantity, customer_id)
    if days := trial_days(offer, account_id=click.account_id):
        params["subscription_data"] = {"trial_period_days": days}
    return client.v1.checkout.sessions.create(
        params=params,
        options={"idempotency_key": f"checkout:{click.pk}"},
    )


def _refuse_if_frozen(client: stripe.StripeClient, account_id: int, session_id: str) -> None:
    """An account that was frozen, or left, since the click was written down buys nothing.

    Who leaves is frozen first, and the sessions that are open then are ended (ending.py): either
    they see this session, or it sees the freeze. Raises AccountFrozen.
    """
    if Account.objects.get(pk=account_id).status == Account.Status.FROZEN:
        _close(client, session_id)
        raise services.AccountFrozen


def _close_earlier_plans(
    client: stripe.StripeClient, click: CheckoutStart, customer_id: str, now: datetime
) -> None:
    """Ends the account's earlier sessions for a plan: two tabs must not buy two plans.

    Of two clicks at the same moment the one written down last ends the session of the other, even
    if that one has not got it yet; the other never ends the last one's, so exactly one survives.
    Raises AlreadySubscribed if one has been paid, also before its events have arrived.
    """
    plans = {plan.slug: plan for plan in Offer.objects.filter(kind=Offer.Kind.PLAN)}
    for earlier in _earlier(click).filter(offer__in=plans, created_at__gt=now - SESSION_LIFE):
        session_id = earlier.session_id
        if not session_id and earlier.created_at > now - UNDER_WAY:
            session_id = _open(client, earlier, plans[earlier.offer], customer_id).id
        if session_id:
            _close(client, session_id)


def _earlier(click: CheckoutStart) -> QuerySet[CheckoutStart]:
    return CheckoutStart.objects.filter(
        account_id=click.account_id, created_at__lt=click.created_at
    )


def _close(client: stripe.StripeClient, session_id: str) -> None:
    try:
        client.v1.checkout.sessions.expire(session_id)
    except stripe.InvalidRequestError:  # it is not open any more
        session = client.v1.checkout.sessions.retrieve(session_id)
        if session.status == "complete" and not _has_ended(session):
            raise AlreadySubscribed from None


def _has_ended(session: stripe.checkout.Session) -> bool:
    known = Subscription.objects.filter(subscription_id=str(session.subscription))
    return known.exclude(status__in=LIVE).exists()


def _params(offer: Offer, quantity: int, customer_id: str) -> SessionCreateParams:
    """`metadata` is what purchases.py delivers by. Addresses come from SITE_URL alone."""
    params: SessionCreateParams = {
        "mode": "subscription" if offer.kind == Offer.Kind.PLAN else "payment",
        "customer": customer_id,
        "line_items": [{"price": offer.stripe_price_id, "quantity": quantity}],
        "metadata": {"offer": offer.slug, "quantity": str(quantity)},
        "allow_promotion_codes": True,
        "success_url": f"{settings.SITE_URL}/purchases/done/?session_id={{CHECKOUT_SESSION_ID}}",
        "cancel_url": f"{settings.SITE_URL}/purchases/canceled/",
    }
    if settings.STRIPE_AUTOMATIC_TAX:
        params["automatic_tax"] = {"enabled": True}
        params["customer_update"] = {"address": "auto"}
    return params
