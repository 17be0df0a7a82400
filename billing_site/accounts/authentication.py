"""API keys for Django REST framework: `Authorization: Bearer bs_…`."""

from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from billing_site.accounts.models import User
from billing_site.accounts.services import find_user_by_key


class ApiKeyAuthentication(BaseAuthentication):
    """A request with a Bearer header is its key's user or nobody: cookies are not looked at."""

    def authenticate(self, request: Request) -> tuple[User, None] | None:
        scheme, *rest = get_authorization_header(request).decode("latin-1").split() or [""]
        if scheme.lower() != "bearer":
            return None
        user = find_user_by_key(key=rest[0], now=timezone.now()) if len(rest) == 1 else None
        if user is None:
            raise AuthenticationFailed(_("This API key does not exist or was revoked."))
        return user, None

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the key appears in the OpenAPI document."""

    target_class = ApiKeyAuthentication
    name = "ApiKey"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}
