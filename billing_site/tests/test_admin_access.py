"""Who may do what in the admin: every address and every action, by role.

The addresses come from the URL conf and the actions from the registered pages. A new one fails
these tests until the tables below say who may: `LOOK` for a book that is read, `PAGES` for a page
of its own, `ACTIONS` for an action of a list.
"""

from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import get_resolver, reverse
from django.utils import timezone

from billing_site.accounts.models import ApiKey
from billing_site.accounts.roles import BILLING, READ_ONLY, SUPPORT
from billing_site.accounts.services import create_api_key
from billing_site.tests.test_api_access import patterns
from credits import notices, services
from credits.models import (
    Account,
    Adjustment,
    InboxEvent,
    LedgerEntry,
    Notice,
    Offer,
    Payment,
    PromotionalCode,
    StaffAction,
)
from credits.tests.conftest import books_balance
from generation.tests.cast import give, request

__all__ = ["books_balance"]

pytestmark = pytest.mark.django_db

NO_GROUP = "No group"
ROLES = ("anonymous", "customer", NO_GROUP, READ_ONLY, SUPPORT, BILLING, "owner")
# Who is allowed:
NOBODY: tuple[str, ...] = ()
OWNER = ("owner",)
MONEY = (BILLING, *OWNER)
HELP = (SUPPORT, *MONEY)
LOOKING = (READ_ONLY, *HELP)
STAFF = (NO_GROUP, *LOOKING)
EVERYBODY = ROLES

# Books: who may look. Nobody adds, changes or deletes, but for what follows.
LOOK = {
    **dict.fromkeys(
        (
            "credits_account", "credits_adjustment", "credits_checkoutstart", "credits_creditlot",
            "credits_dailytotal", "credits_hold", "credits_inboxevent", "credits_ledgeraudit",
            "credits_ledgerentry", "credits_notice",
            "credits_offer", "credits_payment", "credits_planclick", "credits_planschedule",
            "credits_promotionalcode", "credits_reconciliation", "credits_redemption",
            "credits_refund", "credits_refundrequest", "credits_retailtoken",
            "credits_staffaction", "credits_subscription", "generation_generation",
            "generation_operationprice", "accounts_user", "accounts_apikey",
            "account_emailaddress",
        ),
        LOOKING,
    ),
    **dict.fromkeys(
        (
            "djstripe_charge", "djstripe_customer", "djstripe_dispute", "djstripe_invoice",
            "djstripe_paymentintent", "djstripe_price", "djstripe_product", "djstripe_refund",
            "djstripe_subscription",
        ),
        MONEY,
    ),
    "djstripe_event": OWNER,  # whole webhook bodies
    "auth_group": OWNER,
    "axes_accessattempt": OWNER,
}  # fmt: skip
ADD = {
    "credits_adjustment": HELP,
    "credits_offer": MONEY,
    "credits_promotionalcode": MONEY,
    "generation_operationprice": MONEY,
    "accounts_user": OWNER,
    "auth_group": OWNER,
}
EXPORTED = (
    "credits_checkoutstart", "credits_creditlot", "credits_hold", "credits_inboxevent",
    "credits_ledgerentry", "credits_notice", "credits_payment", "credits_planclick",
    "credits_planschedule", "credits_promotionalcode", "credits_redemption", "credits_refund",
    "credits_refundrequest", "credits_retailtoken",
    "credits_staffaction", "credits_subscription", "generation_generation",
)  # fmt: skip
DELETE = {"auth_group": OWNER, "axes_accessattempt": OWNER}

PAGES = {
    "index": STAFF,
    "login": STAFF,  # led on to the index; everybody else to the sign-in of the site
    "logout": EVERYBODY,  # by a form: looking at it is refused
    "password_change": STAFF,
    "password_change_done": STAFF,
    "jsi18n": STAFF,
    "search": STAFF,  # of pages that the person may open
    "app_list": LOOKING,
    "autocomplete": NOBODY,  # no page has such a field
    "view_on_site": NOBODY,
    "auth_user_password_change": OWNER,
    "accounts_user_export": OWNER,
    "accounts_user_erase": OWNER,
    "credits_account_explain": LOOKING,
    "credits_account_rehearse": LOOKING,  # what if: undone at once
    "credits_account_adjust": HELP,
    "credits_account_freeze": HELP,
    "credits_account_unfreeze": HELP,
    "credits_adjustment_decide": HELP,  # to take one's own back; approving is tested elsewhere
    "credits_inboxevent_try_out": HELP,
    "credits_inboxevent_retry": HELP,
    "credits_inboxevent_ignore": HELP,
    "credits_inboxevent_mirror_again": HELP,
    "credits_offer_edit": MONEY,
    "credits_offer_preview": LOOKING,
    "credits_offer_publish": MONEY,
    "credits_offer_discard": MONEY,
    "credits_offer_succeed": MONEY,
    "credits_offer_retire": MONEY,
    "credits_offer_sell": MONEY,
    "credits_payment_refund": MONEY,
    "credits_promotionalcode_switch_off_this": MONEY,
}
ACTIONS = {
    ("accounts_apikey", "revoke"): HELP,
    ("auth_group", "delete_selected"): OWNER,
    ("axes_accessattempt", "delete_selected"): OWNER,
    ("credits_inboxevent", "mirror_all"): HELP,
    ("credits_inboxevent", "retry_all"): HELP,
    ("credits_notice", "send_again"): HELP,
    ("credits_promotionalcode", "switch_off"): MONEY,
}


def standard_pages() -> dict[str, tuple[str, ...]]:
    found = {}
    for model, lookers in LOOK.items():
        for name in ("changelist", "change", "history"):
            found[f"{model}_{name}"] = lookers
        found[f"{model}_add"] = ADD.get(model, NOBODY)
        found[f"{model}_delete"] = DELETE.get(model, NOBODY)
        if model in EXPORTED:
            found[f"{model}_export"] = lookers
    return found


EXPECTED = standard_pages() | PAGES


BODY = '{"id": "evt_1", "data": {"object": {"id": "in_1", "number": "whsec_body"}}}'


@pytest.fixture
def people() -> dict[str, Any]:
    """One of every role; the groups are those that `migrate` has made."""
    users = get_user_model().objects
    found: dict[str, Any] = {"customer": users.create_user("customer@example.com")}
    found["owner"] = users.create_superuser("owner@example.com")
    found[NO_GROUP] = users.create_user("none@example.com", is_staff=True)
    for number, role in enumerate((READ_ONLY, SUPPORT, BILLING)):
        found[role] = users.create_user(f"staff{number}@example.com", is_staff=True)
        found[role].groups.add(Group.objects.get(name=role))
    return found


@pytest.fixture
def account(people: dict[str, Any]) -> Account:
    """The customer's, with something of everything that pages can be opened for."""
    now = timezone.now()
    account = services.open_account(user_id=people["customer"].pk, now=now)
    give(account, now)
    request(account, now)
    Payment.objects.create(payment_intent="pi_1", source_key="invoice:in_1", amount=900)
    InboxEvent.objects.create(
        event_id="evt_1", type="invoice.paid", object_id="in_1", body=BODY,
        created_at=now, received_at=now, next_attempt_at=now, next_mirror_at=None, mirror_error="x",
        account=account,
    )  # fmt: skip
    notices.queue(account_id=account.pk, kind="welcome", fact_key="user:1", now=now)
    Notice.objects.update(state="failed", next_attempt_at=None)
    PromotionalCode.objects.create(
        code="WELCOME", credits=5, days=5, campaign="c", created_at=now, valid_from=now
    )
    for state in ("draft", "published", "retired"):
        Offer.objects.create(
            slug=state, name=state, kind="pack", credits=5, amount=500, currency="usd",
            draft=state == "draft", active=state == "published",
        )  # fmt: skip
    create_api_key(user=people["customer"], name="laptop", now=now)
    waiting = services.request_adjustment(
        form_id=uuid4(), account_id=account.pk, kind="grant",
        terms={"pool": "bulk", "amount": 500}, reason_code="other", reason="x",
        user_id=people["owner"].pk, limit=0,
        sequence=Account.objects.get(pk=account.pk).sequence, now=now,
    )  # fmt: skip
    assert waiting.state == Adjustment.State.WAITING
    return account


def signed_in(user: Any) -> Client:
    client = Client()
    if user is not None:
        client.force_login(user)
    return client


def admin_addresses() -> set[str]:
    """The names of all pages below ADMIN_PATH. Without a name are redirects only."""
    found = patterns(get_resolver().url_patterns, "")
    return {
        pattern.name
        for route, pattern in found
        if route.startswith(settings.ADMIN_PATH) and pattern.name
    }


def actions() -> set[tuple[str, str]]:
    """(page, action) of all lists, as the owner sees them."""
    return {(page_of(model), name) for model in admin.site._registry for name in offered(model)}


def offered(model: Any, user: Any = None) -> set[str]:
    """The actions that a list offers to this person; all that there are for None."""
    page = admin.site._registry[model]
    asked = RequestFactory().get("/")
    asked.user = user or get_user_model()(is_active=True, is_staff=True, is_superuser=True)
    return set(page.get_actions(asked))


def page_of(model: Any) -> str:
    return f"{model._meta.app_label}_{model._meta.model_name}"


MODELS = {page_of(model): model for model in admin.site._registry}
ROW_OF = {
    **dict.fromkeys(("edit", "publish", "discard", "preview"), "draft"),
    **dict.fromkeys(("succeed", "retire"), "published"),
    "sell": "retired",
}


def address(name: str, people: dict[str, Any]) -> str:
    model = next((model for model in MODELS if name.startswith(f"{model}_")), "")
    page = name.removeprefix(f"{model}_")
    if name == "app_list":
        return reverse("admin:app_list", args=["credits"])
    if name == "view_on_site":
        return reverse("admin:view_on_site", args=[1, 1])
    if name == "auth_user_password_change" or model == "accounts_user":
        own = [] if page in ("changelist", "add") else [people["customer"].pk]
        return reverse(f"admin:{name}", args=own)
    if not model or page in ("changelist", "add", "export"):
        return reverse(f"admin:{name}")
    rows = MODELS[model]._default_manager
    if model == "credits_offer" and page in ROW_OF:
        rows = rows.filter(slug=ROW_OF[page])
    return reverse(f"admin:{name}", args=[getattr(rows.first(), "pk", 1)])


def is_refused(answer: HttpResponse) -> bool:
    if answer.status_code == 302:
        return "/login/" in answer["Location"]
    return answer.status_code in (403, 404, 405)


def traces() -> tuple[int, ...]:
    tables: tuple[Any, ...] = (StaffAction, LedgerEntry, Offer, Adjustment, get_user_model())
    return tuple(table.objects.count() for table in tables)


def test_every_page_is_in_the_table():
    assert admin_addresses() == set(EXPECTED)


def test_every_action_is_in_the_table():
    assert actions() == set(ACTIONS)


@pytest.mark.parametrize("table", sorted({name.rpartition("_")[0] for name in EXPECTED}))
def test_pages(people: dict[str, Any], account: Account, table: str):
    for role in ROLES:
        client = signed_in(people.get(role))
        for name in EXPECTED:
            if name.rpartition("_")[0] == table:
                what, path = (role, name), address(name, people)
                if role in EXPECTED[name]:
                    assert not is_refused(client.get(path)) or name == "logout", what
                else:
                    assert_refused(client, path, what)


def assert_refused(client: Client, path: str, what: tuple[str, str]) -> None:
    before = traces()
    for answer in (client.get(path), client.post(path, {"reason": "x", "step": "approve"})):
        missing = what[1].endswith("_history") and answer.status_code == 302  # without a row
        assert missing or is_refused(answer), (*what, answer.status_code)
    assert traces() == before


@pytest.mark.parametrize(("table", "action"), ACTIONS)
def test_actions(people: dict[str, Any], account: Account, table: str, action: str):
    row = MODELS[table]._default_manager.first()
    listing = reverse(f"admin:{table}_changelist")
    for role in STAFF:
        allowed = role in ACTIONS[table, action]
        assert (action in offered(MODELS[table], people[role])) is allowed, role
        if not allowed:
            before = traces()
            form = {"action": action, "_selected_action": [row.pk if row else 1], "post": "yes"}
            signed_in(people[role]).post(listing, form)
            assert traces() == before, role


class TestWhatIsNotShown:
    """Secrets, to nobody; webhook bodies and prompts, to none of the groups."""

    @pytest.mark.parametrize("role", [READ_ONLY, SUPPORT, BILLING])
    def test_on_any_page_of_a_row(self, people, account, role):
        secrets = [
            ApiKey.objects.get().digest,
            people["customer"].password,
            "whsec_body",
            "Tell me a story",
        ]
        client, seen = signed_in(people[role]), 0
        for name, allowed in EXPECTED.items():
            if role in allowed and name.endswith(("_change", "_changelist")):
                text = client.get(address(name, people), follow=True).content.decode()
                seen += 1
                assert [secret for secret in secrets if secret in text] == [], name
        assert seen > 40

    def test_the_digest_of_a_key_to_an_owner(self, people, account):
        key = ApiKey.objects.get()
        page = signed_in(people["owner"]).get(
            reverse("admin:accounts_apikey_change", args=[key.pk])
        )
        assert key.digest not in page.content.decode()

    def test_tables_of_secrets_have_no_page(self):
        known = {model._meta.label for model in admin.site._registry}
        assert not known & {
            "mfa.Authenticator", "sessions.Session", "djstripe.APIKey",
            "djstripe.WebhookEndpoint", "djstripe.WebhookEventTrigger",
        }  # fmt: skip
