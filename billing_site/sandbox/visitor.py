"""A browser without the browser: cookies, the forms of pages, and the API of the site."""

import uuid
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin

import requests

SECONDS = 15  # for one page


class JourneyFailed(Exception):
    """A step did not do what a customer expects."""


class Visitor:
    """One person at the site. Every method raises JourneyFailed for an unexpected answer."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.session = requests.Session()
        self.page = ""  # what is looked at
        self.url = address

    def open(self, path: str) -> None:
        self._look(self.session.get(urljoin(self.address, path), timeout=SECONDS))

    def submit(self, *having: str, **fields: str) -> None:
        """Sends the page's first form with all these: a field's name, or name=value."""
        form = next((form for form in _Forms.of(self.page) if form.has(having)), None)
        if form is None:
            raise JourneyFailed(f"{self.url} has no form with {', '.join(having)}.")
        chosen = dict(part.split("=", 1) for part in having if "=" in part)
        self._look(
            self.session.post(
                urljoin(self.url, form.action),
                data={**form.fields, **chosen, **fields},
                headers={"Referer": self.url},
                timeout=SECONDS,
            )
        )

    def sign_in(self, email: str, password: str) -> None:
        self.open("/accounts/login/")
        self.submit("login", login=email, password=password)
        if "sessionid" not in self.session.cookies:
            raise JourneyFailed(f"{email} could not sign in.")

    def get(self, path: str) -> Any:
        """What the API answers."""
        answer = self.session.get(f"{self.address}/api/v1/{path}", timeout=SECONDS)
        _expect(answer, 200)
        return answer.json()

    def post(self, path: str, body: dict[str, str], expected_status: int) -> Any:
        answer = self.session.post(
            f"{self.address}/api/v1/{path}",
            json=body,
            headers={
                "Idempotency-Key": str(uuid.uuid4()),
                "X-CSRFToken": self.session.cookies["csrftoken"] or "",
                "Referer": self.address,
            },
            timeout=SECONDS,
        )
        _expect(answer, expected_status)
        return answer.json()

    def _look(self, answer: requests.Response) -> None:
        _expect(answer, 200)
        self.page, self.url = answer.text, answer.url


def _expect(answer: requests.Response, status: int) -> None:
    if answer.status_code != status:
        raise JourneyFailed(
            f"{answer.request.method} {answer.url} answered {answer.status_code}, "
            f"expected {status}: {answer.text[:300]}"
        )


class _Form:
    def __init__(self, action: str) -> None:
        self.action = action
        self.fields: dict[str, str] = {}
        self.buttons: set[tuple[str, str]] = set()

    def has(self, parts: tuple[str, ...]) -> bool:
        pairs = {*self.fields.items(), *self.buttons}
        return all(
            tuple(part.split("=", 1)) in pairs if "=" in part else part in self.fields
            for part in parts
        )


class _Forms(HTMLParser):
    @classmethod
    def of(cls, page: str) -> list[_Form]:
        parser = cls()
        parser.forms = []
        parser.feed(page)
        return parser.forms

    forms: list[_Form]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(_Form(found.get("action", "")))
        elif self.forms and "name" in found:
            if tag == "button":
                self.forms[-1].buttons.add((found["name"], found.get("value", "")))
            elif tag == "input" and found.get("type") not in ("checkbox", "radio"):
                self.forms[-1].fields[found["name"]] = found.get("value", "")
