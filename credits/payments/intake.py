"""`/stripe/webhook/`: is it from Stripe, has it the shape of an event? Then one row, and 200.

No rule is applied and no network is used here, so that a storm of renewals is taken in as fast
as it arrives; the worker applies the rows (inbox.py).
"""

import json
import time
from datetime import UTC, datetime
from typing import Any, TypeGuard

import stripe
from django.conf import settings
from django.db import connection
from django.db.models.constants import OnConflict
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from credits.models import InboxEvent

MOST_BYTES = 256 * 1024
COLUMNS = [field for field in InboxEvent._meta.concrete_fields if not field.primary_key]
TOLERANCE_SECONDS = 300  # Stripe's own default for the age of a signature


class NotAnEvent(Exception):
    """The request is not an event that Stripe sent us; the message may be shown."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@csrf_exempt
@require_POST
def stripe_webhook(request: HttpRequest) -> HttpResponse:
    """Stores a genuine event once. 200; 400 or 413 for anything else, and nothing is stored."""
    try:
        body = _read(request)
        _verify(body, request.headers.get("Stripe-Signature", ""))
        event = parse(body)
    except NotAnEvent as error:
        return HttpResponse(f"{error}\n", status=error.status, content_type="text/plain")
    store(event)
    return HttpResponse("stored\n", content_type="text/plain")


def store(event: InboxEvent) -> None:
    """One row per event id: a repetition changes nothing.

    It is what bulk_create(ignore_conflicts=True) does, without BEGIN and COMMIT around the one
    statement: two round trips less for every event.
    """
    InboxEvent.objects.all()._insert(  # type: ignore[attr-defined]
        [event], fields=COLUMNS, using=connection.alias, on_conflict=OnConflict.IGNORE
    )


def _read(request: HttpRequest) -> str:
    length = request.headers.get("Content-Length", "")
    if length.isascii() and length.isdigit() and int(length) > MOST_BYTES:
        raise NotAnEvent(f"An event has at most {MOST_BYTES} bytes.", status=413)
    body = request.read(MOST_BYTES + 1)
    if len(body) > MOST_BYTES:
        raise NotAnEvent(f"An event has at most {MOST_BYTES} bytes.", status=413)
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise NotAnEvent("The body is not UTF-8.") from None


def _verify(body: str, header: str) -> None:
    """One of our secrets has signed exactly this body, within the last TOLERANCE_SECONDS.

    Several secrets are accepted while one is being rolled. https://docs.stripe.com/webhooks/signature
    """
    if not header.isascii() or not any(_signed(body, header, s) for s in _secrets()):
        raise NotAnEvent("The signature is missing, wrong or too old.")


def _signed(body: str, header: str, secret: str) -> bool:
    try:
        stripe.WebhookSignature.verify_header(body, header, secret, TOLERANCE_SECONDS)
    except stripe.SignatureVerificationError:
        return False
    # The library refuses what is too old, not what claims to come from the future.
    claimed = int(next(part[2:] for part in header.split(",") if part.startswith("t=")))
    return claimed <= time.time() + TOLERANCE_SECONDS


def _secrets() -> list[str]:
    secrets: list[str] = settings.STRIPE_WEBHOOK_SECRET
    return secrets


def parse(body: str) -> InboxEvent:
    """The row that keeps an event, not saved. Raises NotAnEvent, also for the other mode's."""
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        raise NotAnEvent("The body is not JSON.") from None
    if not has_shape(event):
        raise NotAnEvent("The body is not an event.")
    if event["livemode"] != settings.STRIPE_LIVE_MODE:
        raise NotAnEvent("The event is of the other mode (live or test) than this site's key.")
    return _row(event, body)


def has_shape(event: Any) -> bool:
    """Whether it is an event as Stripe sends it, as far as the inbox needs it."""
    return (
        isinstance(event, dict)
        and event.get("object") == "event"
        and _is_text(event.get("id"), 255)
        and event["id"].startswith("evt_")
        and _is_text(event.get("type"), 100)
        and type(event.get("created")) is int
        and 0 < event["created"] < 2**33
        and isinstance(event.get("livemode"), bool)
        and isinstance(event.get("data"), dict)
        and isinstance(event["data"].get("object"), dict)
    )


def _is_text(value: Any, most: int) -> TypeGuard[str]:
    if not isinstance(value, str) or not 0 < len(value) <= most:
        return False
    return value.isascii() and value.isprintable()


def _row(event: dict[str, Any], body: str) -> InboxEvent:
    object_id, version = event["data"]["object"].get("id"), event.get("api_version")
    now = timezone.now()
    return InboxEvent(
        event_id=event["id"],
        type=event["type"],
        object_id=object_id if _is_text(object_id, 255) else "",
        api_version=version if _is_text(version, 60) else "",
        body=body,
        created_at=datetime.fromtimestamp(event["created"], UTC),
        received_at=now,
        next_attempt_at=now,
    )
