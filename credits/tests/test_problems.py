"""Whatever a view raises becomes a problem document that says enough and not too much."""

import logging
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from credits import problems, services


def answer_to(error: Exception, view_class: type[APIView] = APIView) -> Response:
    """What an API view answers that raises the error."""

    class Raising(view_class):  # type: ignore[misc,valid-type]
        authentication_classes = ()
        permission_classes = ()
        throttle_classes = ()

        def get(self, request: Request) -> Response:
            raise error

    response = Raising.as_view()(APIRequestFactory().get("/api/v1/x"))
    response.render()
    assert response["Content-Type"] == "application/problem+json"
    return response


def document_of(error: Exception) -> dict[str, Any]:
    return answer_to(error).data


class TestDocument:
    def test_has_the_members_of_rfc_9457_and_a_code(self):
        document = document_of(services.InsufficientCredits(required=5, available=3))

        assert document == {
            "type": "http://127.0.0.1:8000/api/v1/docs/#insufficient_credits",
            "title": "Not enough credits",
            "status": 402,
            "detail": "This needs 5 credits and 3 are available.",
            "code": "insufficient_credits",
            "required": 5,
            "available": 3,
        }

    @pytest.mark.parametrize(
        ("error", "status", "code"),
        [
            (services.RetailTokenUnavailable("None left."), 402, "no_retail_token"),
            (services.InvalidAmount("Too many."), 400, "invalid_amount"),
            (services.InvalidKey("Too long."), 400, "invalid_request"),
            (services.AccountFrozen(), 403, "account_frozen"),
            (services.IdempotencyConflict("k"), 409, "idempotency_conflict"),
            (exceptions.NotAuthenticated(), 401, "not_authenticated"),
            (exceptions.AuthenticationFailed(), 401, "authentication_failed"),
            (exceptions.PermissionDenied(), 403, "permission_denied"),
            (exceptions.NotFound(), 404, "not_found"),
            (exceptions.MethodNotAllowed("PUT"), 405, "method_not_allowed"),
            (exceptions.NotAcceptable(), 406, "not_acceptable"),
            (exceptions.UnsupportedMediaType("text/x"), 415, "unsupported_media_type"),
            (exceptions.ParseError("Broken."), 400, "malformed_json"),
        ],
    )
    def test_keeps_status_and_code(self, error, status, code):
        document = document_of(error)
        assert (document["status"], document["code"]) == (status, code)
        assert document["detail"]

    def test_names_every_field_that_is_wrong(self):
        error = exceptions.ValidationError({"a": ["One.", "Two."], "b": {"c": ["Three."]}})
        assert document_of(error)["errors"] == [
            {"field": "a", "code": "invalid", "detail": "One."},
            {"field": "a", "code": "invalid", "detail": "Two."},
            {"field": "b.c", "code": "invalid", "detail": "Three."},
        ]

    def test_says_when_to_come_back(self):
        assert answer_to(exceptions.Throttled(wait=12.3))["Retry-After"] == "13"

    def test_an_app_adds_its_own(self):
        class Late(Exception):
            retry_after_seconds = 7

        class OurView(APIView):
            problems = {Late: problems.ProblemType(418, "late", "Too late", field="time")}

        response = answer_to(Late("You are late."), OurView)

        assert response.status_code == 418
        assert response["Retry-After"] == "7"
        assert response.data["errors"] == [
            {"field": "time", "code": "invalid", "detail": "You are late."}
        ]


class TestWhenSomethingBreaks:
    @pytest.mark.parametrize("error", [OperationalError, InterfaceError])
    def test_a_database_that_cannot_answer_is_a_503(self, error):
        response = answer_to(error("canceling statement due to lock timeout: SECRET"))

        assert response.status_code == 503
        assert response.data["code"] == "temporarily_unavailable"
        assert response["Retry-After"] == "2"
        assert b"SECRET" not in response.content

    def test_an_unexpected_error_tells_the_log_and_not_the_client(self, caplog):
        with caplog.at_level(logging.ERROR):
            response = answer_to(ZeroDivisionError("SECRET"))

        assert response.status_code == 500
        assert response.data["code"] == "internal_error"
        assert b"SECRET" not in response.content
        assert b"ZeroDivision" not in response.content
        assert "SECRET" in caplog.text
        assert "/api/v1/x" in caplog.text
