"""The hosted pages: plain HTML, without JavaScript."""

import re
from collections.abc import Callable
from urllib.parse import parse_qsl

from billing_site.sandbox.stripe.errors import StripeError
from billing_site.sandbox.stripe.pages import (
    checkout_page,
    control_page,
    invoice_page,
    portal_page,
    receipt_page,
)
from billing_site.sandbox.stripe.pages.html import Page, alert, page
from billing_site.sandbox.stripe.store import Store

__all__ = ["answer_page", "failure"]

Form = dict[str, str]
View = Callable[[Store, str, Form], Page]

VIEWS: dict[tuple[str, str], View] = {
    ("GET", "/c/pay/*"): checkout_page.show,
    ("POST", "/c/pay/*"): checkout_page.submit,
    ("GET", "/c/challenge/*"): checkout_page.show_challenge,
    ("POST", "/c/challenge/*"): checkout_page.answer_challenge,
    ("GET", "/p/session/*"): portal_page.show,
    ("POST", "/p/session/*"): portal_page.submit,
    ("GET", "/i/*"): invoice_page.show,
    ("POST", "/i/*"): invoice_page.submit,
    ("GET", "/receipts/*"): receipt_page.show,
    ("GET", "/_sandbox/*"): control_page.show,
    ("POST", "/_sandbox/*"): control_page.submit,
}


def failure(error: StripeError) -> Page:
    """A page that only says what is wrong."""
    return page("Not possible", alert(str(error)), status=error.status)


def answer_page(store: Store, method: str, path: str, body: str) -> Page:
    """Raises StripeError where there is no such page."""
    if path == "/":
        return Page(redirect="/_sandbox/", status=303)
    for (verb, pattern), view in VIEWS.items():
        found = re.fullmatch(pattern.replace("*", r"(\w*)"), path)
        if verb == method and found:
            form = dict(parse_qsl(body, keep_blank_values=True, max_num_fields=100))
            return view(store, found[1], form)
    raise StripeError("There is no such page.", status=404)
