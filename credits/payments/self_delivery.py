"""Events that a command of ours delivers to this site's own webhook, really signed."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from secrets import token_hex

import stripe
from django.conf import settings
from django.test import RequestFactory, override_settings

from credits.payments.intake import stripe_webhook
from credits.payments.readers import Object


class NotTaken(Exception):
    """The webhook refused the event; the message is its answer."""


@contextmanager
def signing() -> Iterator[Callable[[Object], None]]:
    """A function that delivers an event to the webhook view, of this site's mode (live or test).

    It signs with a secret that this process alone knows, for as long as the block lasts. The
    function raises NotTaken.
    """
    secret = f"whsec_{token_hex(16)}"
    with override_settings(STRIPE_WEBHOOK_SECRET=[*settings.STRIPE_WEBHOOK_SECRET, secret]):
        yield lambda event: _deliver(event, secret)


def _deliver(event: Object, secret: str) -> None:
    body = json.dumps({**event, "livemode": settings.STRIPE_LIVE_MODE})
    signature = stripe.WebhookSignature.generate_signature_header(body, secret, None)
    request = RequestFactory().post(
        "/stripe/webhook/", body, "application/json", headers={"Stripe-Signature": signature}
    )
    answer = stripe_webhook(request)
    if answer.status_code != 200:
        raise NotTaken(answer.content.decode().strip())
