"""The API: which function answers which request, keys, idempotency, lists and `expand`."""

import base64
import binascii
import copy
import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import stripe

from billing_site.sandbox.stripe import forms
from billing_site.sandbox.stripe.errors import StripeError, invalid
from billing_site.sandbox.stripe.forms import Params
from billing_site.sandbox.stripe.store import Object, Store

logger = logging.getLogger(__name__)

Handler = Callable[..., Object]

FAILURES = ("", "refused", "lost")  # answered 500 at once; done, and the answer lost
TEST_KEYS = ("sk_test_", "rk_test_")
OPTIONS_OF_THE_LIBRARY = set(stripe.RequestOptions.__annotations__)
PAGE = ("limit", "starting_after", "ending_before", "created", "expand")
# Stripe shows these when asked; here there is nothing to show. dj-stripe asks for each of them.
EMPTY = {"applies_to", "breakdown", "currency_options", "discounts", "sources", "tax_ids", "tiers"}
includes: dict[tuple[str, str], Callable[[Store, Object], Object]] = {}


@dataclass(frozen=True)
class Route:
    """A function and the parameters that Stripe's own library knows for it."""

    method: str
    pattern: re.Pattern[str]
    handler: Handler
    params: str


ROUTES: list[Route] = []


def route(method: str, path: str, params: str = "") -> Callable[[Handler], Handler]:
    """`path` has `*` for an id; `params` is the library's name for the parameters."""
    pattern = re.compile(re.escape(path).replace(r"\*", "([A-Za-z0-9_]+)"))

    def register(handler: Handler) -> Handler:
        ROUTES.append(Route(method, pattern, handler, params))
        return handler

    return register


def include(object_name: str, field: str) -> Callable[[Handler], Handler]:
    """A field that an object has only when it is asked for by `expand`."""

    def register(handler: Handler) -> Handler:
        includes[object_name, field] = handler
        return handler

    return register


def authenticate(header: str) -> None:
    """Test keys only. Raises StripeError 401: a live key has no business here."""
    scheme, _, value = header.partition(" ")
    if scheme == "Basic":
        try:
            value = base64.b64decode(value, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            value = ""
    if not value.strip().startswith(TEST_KEYS):
        raise StripeError(
            "Invalid API Key provided: this is a sandbox, it takes test keys only (sk_test_…).",
            status=401,
        )


def answer(
    store: Store, method: str, path: str, encoded: str, idempotency_key: str
) -> tuple[Object, bool]:
    """The object, and whether it is the answer to an earlier request with the same key."""
    params = forms.decode(encoded)
    found, ids = _find(method, path)
    _refuse_unknown(found.params, params)
    expand = [str(name) for name in forms.rows(params, "expand")]
    if method != "POST" or not idempotency_key:
        return _run(store, found, params, ids, expand), False
    asked = hashlib.sha256(json.dumps([path, params], sort_keys=True).encode()).hexdigest()
    if known := store.answers.get(idempotency_key):
        return _replay(known, asked), True
    outcome: Object = {"asked": asked}
    try:
        outcome["body"] = _run(store, found, params, ids, expand)
    except StripeError as error:
        if error.status != 402:  # what was refused before anything was done may be tried again
            raise
        outcome |= {"error": error.body["error"], "status": error.status}
        store.answers[idempotency_key] = outcome
        raise
    store.answers[idempotency_key] = outcome
    return dict(outcome["body"]), False


def _replay(known: Object, asked: str) -> Object:
    if known["asked"] != asked:
        raise StripeError(
            "Keys for idempotent requests can only be used with the same parameters they were"
            " first used with. Try using a key other than the one that was used before.",
            kind="idempotency_error",
        )
    if error := known.get("error"):
        more = {name: value for name, value in error.items() if name not in ("type", "message")}
        raise StripeError(error["message"], status=known["status"], kind=error["type"], **more)
    return dict(known["body"])


def _find(method: str, path: str) -> tuple[Route, tuple[str, ...]]:
    for found in ROUTES:
        if found.method == method and (match := found.pattern.fullmatch(path)):
            return found, match.groups()
    raise StripeError(
        f"Unrecognized request URL ({method}: {path}). The sandbox does not have it.", status=404
    )


def _refuse_unknown(name: str, params: Params) -> None:
    if not name:
        return
    known: Any = stripe.params
    for part in name.split("."):
        known = getattr(known, part)
    allowed = set(known.__annotations__) - OPTIONS_OF_THE_LIBRARY | {"expand"}
    for param in params:
        if param not in allowed:
            raise StripeError(
                f"Received unknown parameter: {param}", code="parameter_unknown", param=param
            )


def _run(
    store: Store, found: Route, params: Params, ids: tuple[str, ...], expand: list[str]
) -> Object:
    asked = forms.Asked(params)
    shown = copy.deepcopy(found.handler(store, asked, *ids))
    if found.method == "POST" and (ignored := asked.unread - {"expand"}):
        logger.warning("%s has no effect here: %s", found.params, ", ".join(sorted(ignored)))
    for path in expand:
        _expand(store, shown, path.split("."), path)
    return shown


def _expand(store: Store, value: Any, path: list[str], whole: str) -> None:
    """Replaces an id by its object, or adds what is only shown when asked for."""
    if isinstance(value, list):
        for row in value:
            _expand(store, row, path, whole)
        return
    name, rest = path[0], path[1:]
    if isinstance(value, dict) and name not in value and name in EMPTY:
        return
    if not isinstance(value, dict) or (name not in value and not _is_included(value, name)):
        raise StripeError(f"This property cannot be expanded ({whole}).", param="expand")
    if name not in value:
        value[name] = copy.deepcopy(includes[value["object"], name](store, value))
    elif isinstance(value[name], str) and value[name] in store.objects:
        value[name] = copy.deepcopy(store.objects[value[name]])
    if rest and value[name] is not None:
        _expand(store, value[name], rest, whole)


def _is_included(value: Object, name: str) -> bool:
    return (value.get("object"), name) in includes


def listed(url: str, rows: Iterable[Object], *, has_more: bool = False) -> Object:
    """A list object."""
    return {"object": "list", "data": list(rows), "has_more": has_more, "url": url}


def page(store: Store, url: str, object_name: str, params: Params, *fields: str) -> Object:
    """Newest first; filtered by those of `fields` that are given; one page of it."""
    for name in params:
        if name not in (*PAGE, *fields):
            raise invalid(name, f"The sandbox cannot filter by {name}.")
    wanted = {name: _filter_value(params, name) for name in fields if name in params}
    return cut(url, store.find(object_name, **wanted), params)


def cut(url: str, rows: list[Object], params: Params) -> Object:
    """The page that `created`, `limit`, `starting_after` and `ending_before` ask for."""
    rows = [row for row in rows if _created_in(row, params)]
    limit = forms.positive(params, "limit", 10)
    if limit > 100:
        raise invalid("limit", "This value must be less than or equal to 100.")
    ids = [row["id"] for row in rows]
    if after := forms.text(params, "starting_after"):
        rows = rows[_position(ids, after, "starting_after") + 1 :]
    elif before := forms.text(params, "ending_before"):
        rows = rows[: _position(ids, before, "ending_before")]
        return listed(url, rows[-limit:], has_more=len(rows) > limit)
    return listed(url, rows[:limit], has_more=len(rows) > limit)


def _filter_value(params: Params, name: str) -> Any:
    value = forms.text(params, name)
    return {"true": True, "false": False}.get(value, value)


def _position(ids: list[str], wanted: str, param: str) -> int:
    if wanted not in ids:
        raise invalid(param, f"No such object: '{wanted}'")
    return ids.index(wanted)


def _created_in(row: Object, params: Params) -> bool:
    limits = params.get("created")
    if not limits:
        return True
    if isinstance(limits, str):
        return bool(row["created"] == forms.whole(params, "created"))
    tests: dict[str, Callable[[int, int], bool]] = {
        "gt": int.__gt__, "gte": int.__ge__, "lt": int.__lt__, "lte": int.__le__,
    }  # fmt: skip
    return all(
        tests[name](row["created"], forms.whole(limits, name)) for name in limits if name in tests
    )


def set_switches(store: Store, failure: str, latency_seconds: float) -> None:
    """How badly requests are answered from now on. Raises StripeError."""
    if failure not in FAILURES:
        raise invalid("failure", f"Has to be one of {', '.join(FAILURES[1:])}, or empty.")
    store.api = {"failure": failure, "latency_seconds": latency_seconds}
