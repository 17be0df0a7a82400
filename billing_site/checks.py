"""Wrong or dangerous combinations of settings, found at start. docs/settings.md lists the ids."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register


@register()
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """Values that cannot work."""
    return [*_addresses(), *_stripe_keys(), *_debug()]


@register(Tags.security, deploy=True)
def check_deployment(**kwargs: Any) -> list[CheckMessage]:
    """What a public site needs beyond Django's own `check --deploy`."""
    return list(_public_site())


def _addresses() -> Iterator[CheckMessage]:
    for name in ("SITE_URL", "GENERATION_BASE_URL", "STRIPE_API_BASE"):
        value = getattr(settings, name)
        parts = urlsplit(value)
        if value and (parts.scheme not in {"http", "https"} or not parts.hostname):
            yield Error(
                f"{name} is {value!r}, which is not a web address.",
                hint=f"{name} must begin with http:// or https:// and name a host.",
                id="billing_site.E001",
            )


def _stripe_keys() -> Iterator[CheckMessage]:
    key = settings.STRIPE_SECRET_KEY
    if key and not key.startswith(("sk_test_", "rk_test_", "sk_live_", "rk_live_")):
        yield Error(
            "STRIPE_SECRET_KEY is not a secret or restricted key.",
            hint="It begins with sk_test_, rk_test_, sk_live_ or rk_live_.",
            id="billing_site.E002",
        )
    if not all(secret.startswith("whsec_") for secret in settings.STRIPE_WEBHOOK_SECRET):
        yield Error(
            "STRIPE_WEBHOOK_SECRET holds something that is not a signing secret.",
            hint="Each begins with whsec_; several are separated by commas.",
            id="billing_site.E003",
        )
    if settings.STRIPE_API_BASE and settings.STRIPE_LIVE_MODE:
        yield Error(
            "STRIPE_API_BASE would send a live key somewhere else than to Stripe.",
            hint="Unset STRIPE_API_BASE, or use a test key.",
            id="billing_site.E004",
        )


def _debug() -> Iterator[CheckMessage]:
    if settings.DEBUG and (settings.IS_PUBLIC or settings.STRIPE_LIVE_MODE):
        yield Error(
            "DEBUG is on for a public site or together with a live Stripe key.",
            hint="Under DEBUG dj-stripe accepts forged webhooks. Set DEBUG=false.",
            id="billing_site.E005",
        )


def _public_site() -> Iterator[CheckMessage]:
    if not settings.IS_PUBLIC:
        yield Warning(
            "SITE_URL does not begin with https.",
            hint="An https SITE_URL switches on secure cookies, HSTS and the redirect to https.",
            id="billing_site.W001",
        )
    if settings.SECRET_KEY_IS_LOCAL:
        yield Error(
            "SECRET_KEY is not set; this machine made one of its own.",
            hint="Set the same SECRET_KEY on every machine, or sessions end at random.",
            id="billing_site.E006",
        )
    if not settings.GENERATION_BASE_URL:
        yield Warning(
            "GENERATION_BASE_URL is not set: a small model for trying out writes the texts.",
            hint="Set it to your provider's OpenAI-compatible API.",
            id="billing_site.W002",
        )
    if settings.EMAIL_BACKEND.endswith((".console.EmailBackend", ".terminal_mail.EmailBackend")):
        yield Warning(
            "EMAIL_URL is not set: mails, and with them sign-up codes, go to the terminal.",
            hint="Set it to smtp+tls://user:password@host:587.",
            id="billing_site.W003",
        )
    if "*" in settings.ALLOWED_HOSTS:
        yield Warning(
            "ALLOWED_HOSTS accepts every host name.",
            hint="Name the hosts that the site answers to.",
            id="billing_site.W004",
        )
