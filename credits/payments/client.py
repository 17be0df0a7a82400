"""The one place that speaks to Stripe's API. Never while a lock is held: see checkout.py."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import stripe
from django.conf import settings

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 10
RETRIES = 2  # of what is safe to repeat; the library sends an idempotency key with every POST


class SellingUnavailable(Exception):
    """Nothing can be sold at the moment. The message may be shown; `reason` is for operators."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


def is_configured() -> bool:
    """Whether this site can sell at all."""
    return bool(settings.STRIPE_SECRET_KEY)


def connect() -> stripe.StripeClient:
    """Raises SellingUnavailable where no key is configured."""
    if not is_configured():
        raise SellingUnavailable(
            "This site does not sell anything at the moment.",
            reason="STRIPE_SECRET_KEY is not set.",
        )
    return _client(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE)


@contextmanager
def asking(
    message: str = (
        "Payments are not available at the moment. Nothing was charged: please try again."
    ),
) -> Iterator[None]:
    """Around calls to Stripe. Raises SellingUnavailable if it cannot be reached, or refuses."""
    try:
        yield
    except stripe.StripeError as error:
        reason = f"{type(error).__name__}: {error}"
        logger.warning("Stripe could not be used: %s", reason)
        raise SellingUnavailable(message, reason=reason) from error


@lru_cache(maxsize=4)
def _client(key: str, api_base: str) -> stripe.StripeClient:
    """Kept, with its connections. https://docs.stripe.com/api"""
    return stripe.StripeClient(
        key,
        base_addresses={"api": api_base.rstrip("/")} if api_base else {},
        max_network_retries=RETRIES,
        http_client=stripe.RequestsClient(timeout=TIMEOUT_SECONDS),
    )
