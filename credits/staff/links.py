"""Links from one page of the staff to another, and to Stripe's dashboard."""

from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

# https://docs.stripe.com/dashboard/basics: one address for each kind of object
DASHBOARD = "https://dashboard.stripe.com"
PAGES = {
    "evt": "events",
    "cus": "customers",
    "in": "invoices",
    "sub": "subscriptions",
    "pi": "payments",
    "ch": "payments",
    "py": "payments",
    "dp": "disputes",
    "du": "disputes",
}
STYLE = "text-primary-600 dark:text-primary-400 underline"


def link(url: str, text: Any) -> SafeString:
    """A link that looks like the admin's own."""
    return format_html('<a class="{}" href="{}">{}</a>', STYLE, url, text)


def link_to_row(row: Any, text: Any = None) -> SafeString:
    """To the page of a row."""
    page = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    return link(reverse(page, args=[row.pk]), text or row)


def link_to_list(name: str, text: Any, **query: Any) -> SafeString:
    """To a list such as `credits_ledgerentry`, searched and filtered."""
    return link(f"{reverse(f'admin:{name}_changelist')}?{urlencode(query)}", text)


def stripe_url(stripe_id: str) -> str:
    """The object's page in Stripe's dashboard, of the mode of the site's key; "" if it has none."""
    page = PAGES.get(stripe_id.partition("_")[0])
    if page is None or settings.STRIPE_API_BASE:  # a sandbox has no dashboard
        return ""
    mode = "" if settings.STRIPE_LIVE_MODE else "/test"
    return f"{DASHBOARD}{mode}/{page}/{stripe_id}"


def at_stripe(stripe_id: str) -> SafeString | str:
    """The id, with a link to its page in Stripe's dashboard if it has one there."""
    url = stripe_url(stripe_id)
    if not url:
        return stripe_id
    return format_html('<a class="{}" href="{}" rel="noreferrer">{}</a>', STYLE, url, stripe_id)
