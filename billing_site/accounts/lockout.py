"""What django-axes counts failed attempts by. API keys never come here: they are not guessed."""

from typing import Any

from allauth.core.internal.httpkit import get_client_ip
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str | None:
    """The customer's address, not the proxy's (ALLAUTH_TRUSTED_PROXY_COUNT)."""
    address: str | None = get_client_ip(request)
    return address


def email_tried(request: HttpRequest, credentials: dict[str, Any] | None) -> str | None:
    """The address that somebody tries to sign in with, however it is spelt."""
    email = (credentials or {}).get("email") or request.POST.get("login", "")
    return str(email).strip().lower()[:255] or None
