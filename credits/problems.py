"""Errors as RFC 9457 problem documents: {type, title, status, detail, code, ...}.

`problem_response` is the REST framework's exception handler (settings.REST_FRAMEWORK): whatever a
view raises becomes a document, and nothing of an unexpected error but its status gets out.

    Exceptions become problems through tables. PROBLEMS below holds the ones of credits, of the
    database and of the framework; a view adds its app's own in an attribute `problems`, so that
    this module needs to know no other app.
"""

import logging
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, cast

from django.conf import settings
from django.core.exceptions import (
    BadRequest,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.db import InterfaceError, OperationalError
from django.http import Http404, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, inline_serializer
from rest_framework import exceptions, serializers
from rest_framework.response import Response

from credits import services

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True)
class ProblemType:
    """A kind of error that clients can tell from others by its `code`, which never changes."""

    status: int
    code: str
    title: str
    detail: str = ""  # replaces the exception's own sentence
    members: tuple[str, ...] = ()  # attributes of the exception that the document shows
    field: str = ""  # the field of the request that is at fault
    retry_after_seconds: int = 0


INVALID_REQUEST = ProblemType(400, "invalid_request", "The request is not valid")
MALFORMED_JSON = ProblemType(400, "malformed_json", "The body is not a JSON object")
BAD_REQUEST = ProblemType(
    400, "bad_request", "The request is broken", detail="The request cannot be read."
)
INVALID_AMOUNT = ProblemType(400, "invalid_amount", "This number of credits is not possible")
NOT_AUTHENTICATED = ProblemType(401, "not_authenticated", "Not signed in")
AUTHENTICATION_FAILED = ProblemType(401, "authentication_failed", "The API key is not valid")
INSUFFICIENT_CREDITS = ProblemType(
    402, "insufficient_credits", "Not enough credits", members=("required", "available")
)
NO_RETAIL_TOKEN = ProblemType(402, "no_retail_token", "No single generation left")
PERMISSION_DENIED = ProblemType(403, "permission_denied", "Not allowed")
ACCOUNT_FROZEN = ProblemType(403, "account_frozen", "The account is frozen")
NOT_FOUND = ProblemType(404, "not_found", "Not found", detail="There is nothing at this address.")
METHOD_NOT_ALLOWED = ProblemType(405, "method_not_allowed", "The method is not allowed here")
NOT_ACCEPTABLE = ProblemType(406, "not_acceptable", "Only JSON is served")
IDEMPOTENCY_CONFLICT = ProblemType(
    409, "idempotency_conflict", "The key was used for another request"
)
REQUEST_TOO_LARGE = ProblemType(
    413,
    "request_too_large",
    "The request is too large",
    detail=f"The body may have up to {settings.DATA_UPLOAD_MAX_MEMORY_SIZE} bytes.",
)
UNSUPPORTED_MEDIA_TYPE = ProblemType(415, "unsupported_media_type", "Only JSON is accepted")
RATE_LIMITED = ProblemType(429, "rate_limited", "Too many requests")
INTERNAL_ERROR = ProblemType(
    500,
    "internal_error",
    "Something went wrong on our side",
    detail="The error was logged. Nothing that it interrupted was carried out by halves.",
)
TEMPORARILY_UNAVAILABLE = ProblemType(
    503,
    "temporarily_unavailable",
    "Temporarily unavailable",
    detail="Nothing was changed. Please repeat the request, with the same Idempotency-Key.",
    retry_after_seconds=2,
)

PROBLEMS: dict[type[Exception], ProblemType] = {
    services.InsufficientCredits: INSUFFICIENT_CREDITS,
    services.RetailTokenUnavailable: NO_RETAIL_TOKEN,
    services.AccountFrozen: ACCOUNT_FROZEN,
    services.IdempotencyConflict: IDEMPOTENCY_CONFLICT,
    services.InvalidAmount: INVALID_AMOUNT,
    services.InvalidKey: INVALID_REQUEST,
    # A lock that was waited for too long, a deadlock, a lost connection, a server that restarts.
    OperationalError: TEMPORARILY_UNAVAILABLE,
    InterfaceError: TEMPORARILY_UNAVAILABLE,
    exceptions.ValidationError: replace(
        INVALID_REQUEST, detail="See `errors` for what is wrong with which field."
    ),
    exceptions.ParseError: MALFORMED_JSON,
    exceptions.NotAuthenticated: NOT_AUTHENTICATED,
    exceptions.AuthenticationFailed: AUTHENTICATION_FAILED,
    exceptions.PermissionDenied: PERMISSION_DENIED,
    exceptions.NotFound: NOT_FOUND,
    exceptions.MethodNotAllowed: METHOD_NOT_ALLOWED,
    exceptions.NotAcceptable: NOT_ACCEPTABLE,
    exceptions.UnsupportedMediaType: UNSUPPORTED_MEDIA_TYPE,
    exceptions.Throttled: RATE_LIMITED,
    Http404: NOT_FOUND,
    PermissionDenied: PERMISSION_DENIED,
    RequestDataTooBig: REQUEST_TOO_LARGE,
    # What Django raises about a form body that it reads for the CSRF check.
    SuspiciousOperation: BAD_REQUEST,
    BadRequest: BAD_REQUEST,
    MultiPartParserError: BAD_REQUEST,
    UnreadablePostError: BAD_REQUEST,
}


def problem_response(exc: Exception, context: dict[str, Any]) -> Response:
    """Answers any exception of an API view with a problem document."""
    table = {**PROBLEMS, **getattr(context.get("view"), "problems", {})}
    kind = next((table[base] for base in type(exc).__mro__ if base in table), None)
    if kind is None:
        kind = INTERNAL_ERROR
    if kind.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        request = context.get("request")
        method, path = (request.method, request.path) if request else ("", "")
        logger.error("%s: %s %s", kind.code, method, path, exc_info=exc)
    return Response(
        _document(kind, exc),
        status=kind.status,
        headers=_headers(kind, exc),
        content_type=MEDIA_TYPE,
    )


def _document(kind: ProblemType, exc: Exception) -> dict[str, Any]:
    document: dict[str, Any] = {
        "type": f"{settings.SITE_URL}/api/v1/docs/#{kind.code}",
        "title": kind.title,
        "status": kind.status,
        "detail": kind.detail or _sentence(exc),
        "code": kind.code,
    }
    for name in kind.members:
        document[name] = getattr(exc, name)
    if isinstance(exc, exceptions.ValidationError):
        document["errors"] = _errors("", exc.detail)
    elif kind.field:
        document["errors"] = [{"field": kind.field, "code": "invalid", "detail": str(exc)}]
    return document


def _sentence(exc: Exception) -> str:
    return str(exc.detail if isinstance(exc, exceptions.APIException) else exc)


def _errors(field: str, detail: Any) -> list[dict[str, str]]:
    """The framework's nested errors as a flat list; an inner field is named `outer.inner`."""
    if isinstance(detail, dict):
        return [
            error
            for name, inner in detail.items()
            for error in _errors(f"{field}.{name}" if field else str(name), inner)
        ]
    if isinstance(detail, list):
        return [error for inner in detail for error in _errors(field, inner)]
    return [{"field": field, "code": detail.code, "detail": str(detail)}]


def _headers(kind: ProblemType, exc: Exception) -> dict[str, str]:
    headers = {}
    wait = (
        getattr(exc, "wait", None)
        or getattr(exc, "retry_after_seconds", None)
        or kind.retry_after_seconds
    )
    if wait:
        headers["Retry-After"] = str(max(round(wait), 1))
    if getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = cast(Any, exc).auth_header
    return headers


# What the OpenAPI document says about errors ------------------------------------------------------


# (Not classes: `errors` and `required` would hide attributes of every serializer.)
FieldError = inline_serializer(
    "FieldError",
    {
        "field": serializers.CharField(),
        "code": serializers.CharField(),
        "detail": serializers.CharField(),
    },
    many=True,
    required=False,
    help_text="With `invalid_request`.",
)
Problem = inline_serializer(
    "Problem",
    {
        "type": serializers.URLField(),
        "title": serializers.CharField(),
        "status": serializers.IntegerField(),
        "detail": serializers.CharField(),
        "code": serializers.CharField(help_text="What to branch on: it never changes its meaning."),
        "errors": FieldError,
        "required": serializers.IntegerField(
            required=False, help_text="With `insufficient_credits`."
        ),
        "available": serializers.IntegerField(
            required=False, help_text="With `insufficient_credits`."
        ),
    },
)


def documented(*kinds: ProblemType) -> dict[tuple[int, str], OpenApiResponse]:
    """The given problems as answers of an operation, for drf-spectacular's `responses`."""
    by_status: dict[int, list[ProblemType]] = {}
    for kind in sorted(kinds, key=lambda kind: kind.status):
        by_status.setdefault(kind.status, []).append(kind)
    return {
        (status, MEDIA_TYPE): OpenApiResponse(
            Problem, description="; ".join(f"`{kind.code}`: {kind.title}" for kind in same)
        )
        for status, same in by_status.items()
    }


EVERYWHERE = (
    NOT_AUTHENTICATED,
    AUTHENTICATION_FAILED,
    RATE_LIMITED,
    INTERNAL_ERROR,
    TEMPORARILY_UNAVAILABLE,
)
WITH_BODY = (
    INVALID_REQUEST,
    MALFORMED_JSON,
    PERMISSION_DENIED,  # a session without its CSRF token
    REQUEST_TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
)
RETRY_AFTER = OpenApiParameter(
    "Retry-After", int, OpenApiParameter.HEADER, response=[429, 503], description="Seconds."
)


# Bodies that are refused --------------------------------------------------------------------------


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses fields that it does not know: a misspelt or forbidden one is never just ignored."""

    def to_internal_value(self, data: Any) -> Any:
        unknown = sorted(set(data) - set(self.fields))[:10]
        errors: dict[str, Any] = {
            name[:80]: [exceptions.ErrorDetail("There is no such field.", "unknown")]
            for name in unknown
        }
        try:
            known = super().to_internal_value(data)
        except exceptions.ValidationError as error:
            raise exceptions.ValidationError(
                {**cast(dict[str, Any], error.detail), **errors}
            ) from None
        if errors:
            raise exceptions.ValidationError(errors)
        return known


class StrictCharField(serializers.CharField):
    """Text, and nothing that could be made into text: 5 is not "5"."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)
