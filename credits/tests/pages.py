"""What holds on every page of the site, and how the tests of pages look at one."""

import re
from html import unescape
from html.parser import HTMLParser

from django.http import HttpResponse
from django.test import Client

from credits.models import Account


def client_of(account: Account) -> Client:
    client = Client()
    client.force_login(account.user)
    return client


def html(response: HttpResponse, status: int = 200) -> str:
    """The page, which has this status and keeps to the Content-Security-Policy."""
    assert response.status_code == status, response
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    page = response.content.decode()
    checker = _Checker()
    checker.feed(page)
    assert checker.faults == []
    assert "{%" not in page
    assert "{{" not in page
    return page


def text(response: HttpResponse, status: int = 200) -> str:
    """What a person reads on the page, in one line."""
    page = re.sub(r"<head.*?</head>", "", html(response, status), flags=re.S)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


def hidden(response: HttpResponse, name: str = "key") -> str:
    found = re.search(rf'name="{name}" value="([^"]+)"', response.content.decode())
    assert found, f"the page has no hidden field {name}"
    return found[1]


class _Checker(HTMLParser):
    """Finds what the policy forbids: inline scripts, styles and handlers, and other hosts."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        forbidden = [name for name in values if name == "style" or name.startswith("on")]
        if tag == "style" or forbidden or (tag == "script" and "src" not in values):
            self.faults.append(f"inline: {self.get_starttag_text()}")
        for name in ("src", "href", "action"):
            if re.match(r"(https?:)?//", values.get(name, "")):
                self.faults.append(f"other host: {self.get_starttag_text()}")
        if values.get("id") in self.ids:
            self.faults.append(f"id twice: {self.get_starttag_text()}")
        if "id" in values:
            self.ids.add(values["id"])
