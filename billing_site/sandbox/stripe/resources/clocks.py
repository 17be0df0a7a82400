"""Test clocks. There is one clock here: advancing any of them moves the whole sandbox."""

from billing_site.sandbox.stripe import clock, forms
from billing_site.sandbox.stripe.errors import invalid
from billing_site.sandbox.stripe.forms import Params
from billing_site.sandbox.stripe.rest import page, route
from billing_site.sandbox.stripe.store import DAY, Object, Store

URL = "/v1/test_helpers/test_clocks"
LIFE = 30 * DAY


@route("POST", URL, "test_helpers.TestClockCreateParams")
def create_clock(store: Store, params: Params) -> Object:
    frozen_time = forms.positive(params, "frozen_time")
    return store.add(
        {
            "id": store.new_id("clock"),
            "object": "test_helpers.test_clock",
            "created": store.now(),
            "deletes_after": store.now() + LIFE,
            "frozen_time": frozen_time,
            "livemode": False,
            "name": forms.text(params, "name") or None,
            "status": "ready",
            "status_details": {},
        }
    )


@route("POST", f"{URL}/*/advance", "test_helpers.TestClockAdvanceParams")
def advance_clock(store: Store, params: Params, clock_id: str) -> Object:
    """By as much as this clock's time goes forward."""
    found = store.get("test_helpers.test_clock", clock_id)
    frozen_time = forms.positive(params, "frozen_time")
    if frozen_time <= found["frozen_time"]:
        raise invalid("frozen_time", "A test clock only goes forward.")
    clock.advance(store, frozen_time - found["frozen_time"])
    found["frozen_time"] = frozen_time
    return found


@route("GET", URL, "test_helpers.TestClockListParams")
def list_clocks(store: Store, params: Params) -> Object:
    return page(store, URL, "test_helpers.test_clock", params)


@route("GET", f"{URL}/*")
def retrieve_clock(store: Store, params: Params, clock_id: str) -> Object:
    return store.get("test_helpers.test_clock", clock_id)


@route("DELETE", f"{URL}/*")
def delete_clock(store: Store, params: Params, clock_id: str) -> Object:
    """Unlike Stripe it leaves the clock's customers."""
    store.get("test_helpers.test_clock", clock_id)
    del store.objects[clock_id]
    return {"id": clock_id, "object": "test_helpers.test_clock", "deleted": True}
