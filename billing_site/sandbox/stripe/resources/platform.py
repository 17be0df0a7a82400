"""The account, webhook endpoints and events."""

from billing_site.sandbox.stripe import forms, shapes_billing
from billing_site.sandbox.stripe.errors import invalid, missing
from billing_site.sandbox.stripe.forms import Params
from billing_site.sandbox.stripe.rest import cut, page, route
from billing_site.sandbox.stripe.store import Object, Store

ACCOUNT = "acct_sandbox00000001"


@route("GET", "/v1/account")
def retrieve_account(store: Store, params: Params) -> Object:
    return {
        "id": ACCOUNT,
        "object": "account",
        "business_profile": None,
        "business_type": None,
        "capabilities": {"card_payments": "active", "transfers": "active"},
        "charges_enabled": True,
        "country": "US",
        "created": 1_700_000_000,
        "default_currency": "usd",
        "details_submitted": True,
        "email": "sandbox@example.com",
        "metadata": {},
        "payouts_enabled": False,
        "type": "standard",
    }


@route("GET", "/v1/accounts/*")
def retrieve_account_by_id(store: Store, params: Params, account_id: str) -> Object:
    if account_id != ACCOUNT:
        return store.get("account", account_id)
    return retrieve_account(store, params)


@route("POST", "/v1/webhook_endpoints", "WebhookEndpointCreateParams")
def create_endpoint(store: Store, params: Params) -> Object:
    """The secret is shown this once. An endpoint for the site's own address gets the known one."""
    url = forms.required(params, "url")
    if not forms.rows(params, "enabled_events"):
        raise missing("enabled_events")
    endpoint = shapes_billing.webhook_endpoint(
        store.new_id("we"),
        store.now(),
        url=url,
        enabled_events=forms.rows(params, "enabled_events"),
        api_version=forms.text(params, "api_version") or None,
        description=forms.text(params, "description") or None,
        metadata=forms.metadata(params),
    )
    is_ours = url == store.config.webhook_url
    secret = store.config.webhook_secret if is_ours else store.new_id("whsec", 32)
    store.add(endpoint, secret=secret)
    return {**endpoint, "secret": secret}


@route("POST", "/v1/webhook_endpoints/*", "WebhookEndpointUpdateParams")
def update_endpoint(store: Store, params: Params, endpoint_id: str) -> Object:
    endpoint = store.get("webhook_endpoint", endpoint_id)
    if "enabled_events" in params:
        endpoint["enabled_events"] = forms.rows(params, "enabled_events")
    if "url" in params:
        endpoint["url"] = forms.required(params, "url")
    if "disabled" in params:
        endpoint["status"] = "disabled" if forms.flag(params, "disabled") else "enabled"
    if "description" in params:
        endpoint["description"] = forms.text(params, "description") or None
    endpoint["metadata"] = forms.metadata(params, endpoint["metadata"])
    return endpoint


@route("GET", "/v1/webhook_endpoints", "WebhookEndpointListParams")
def list_endpoints(store: Store, params: Params) -> Object:
    return page(store, "/v1/webhook_endpoints", "webhook_endpoint", params)


@route("GET", "/v1/webhook_endpoints/*")
def retrieve_endpoint(store: Store, params: Params, endpoint_id: str) -> Object:
    return store.get("webhook_endpoint", endpoint_id)


@route("DELETE", "/v1/webhook_endpoints/*")
def delete_endpoint(store: Store, params: Params, endpoint_id: str) -> Object:
    store.get("webhook_endpoint", endpoint_id)
    del store.objects[endpoint_id]
    return {"id": endpoint_id, "object": "webhook_endpoint", "deleted": True}


@route("GET", "/v1/events", "EventListParams")
def list_events(store: Store, params: Params) -> Object:
    types = [str(name) for name in forms.rows(params, "types")]
    if len(types) > 20:
        raise invalid("types", "At most 20 types.")
    if kind := forms.text(params, "type"):
        types.append(kind)
    found = store.find("event")
    if types:
        found = [row for row in found if _is_one_of(row["type"], types)]
    if "delivery_success" in params:
        wanted = forms.flag(params, "delivery_success")
        found = [row for row in found if (row["pending_webhooks"] == 0) == wanted]
    return cut("/v1/events", found, params)


def _is_one_of(kind: str, types: list[str]) -> bool:
    return any(
        kind == name or (name.endswith(".*") and kind.startswith(name[:-1])) for name in types
    )


@route("GET", "/v1/events/*")
def retrieve_event(store: Store, params: Params, event_id: str) -> Object:
    return store.get("event", event_id)
