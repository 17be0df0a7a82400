"""The pages that come out when something is wrong, also when that is the database."""

import pytest
from allauth.core.ratelimit import respond_429
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.test import Client
from django.urls import path
from django.views.csrf import csrf_failure

from billing_site import urls
from credits.tests.pages import text


def bad(request: HttpRequest) -> HttpResponse:
    raise SuspiciousOperation


def forbidden(request: HttpRequest) -> HttpResponse:
    raise PermissionDenied


def broken(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError


urlpatterns = [
    *urls.urlpatterns,
    path("bad/", bad),
    path("forbidden/", forbidden),
    path("broken/", broken),
    path("many/", respond_429),
    path("csrf/", csrf_failure),
]


@pytest.mark.urls(__name__)
@pytest.mark.parametrize(
    ("address", "status", "heading"),
    [
        ("/bad/", 400, "This request could not be understood"),
        ("/forbidden/", 403, "You may not open this page"),
        ("/nowhere/", 404, "There is no such page"),
        ("/broken/", 500, "Something went wrong on our side"),
    ],
)
def test_error_pages_help_and_ask_nothing_of_the_database(
    address: str, status: int, heading: str
) -> None:
    client = Client(raise_request_exception=False)
    page = text(client.get(address), status=status)  # without a database: pytest-django refuses it
    assert heading in page
    assert f"Error {status}" in page
    assert "Go to the start page" in page


@pytest.mark.parametrize("name", ["403_csrf.html", "429.html"])
def test_error_pages_that_others_render(name: str) -> None:
    assert "<h1>" in render_to_string(name)
