"""`/_sandbox/`: what happens at Stripe and at the banks, at the press of a button."""

from collections.abc import Callable
from html import escape

from billing_site.sandbox.stripe import clock, money, rest, webhooks
from billing_site.sandbox.stripe.errors import StripeError, not_found
from billing_site.sandbox.stripe.pages import html
from billing_site.sandbox.stripe.pages.html import Page
from billing_site.sandbox.stripe.store import DAY, Object, Store

Form = dict[str, str]

MOST_ROWS = 50
MOST_DAYS = 400
MOST_LATENCY = 60


def show(store: Store, verb: str, form: Form) -> Page:
    if verb:
        raise not_found("page", verb)
    return _control(store, "")


def submit(store: Store, verb: str, form: Form) -> Page:
    try:
        if verb not in VERBS:
            raise not_found("button", verb)
        VERBS[verb](store, form)
    except StripeError as error:
        return _control(store, str(error), status=error.status)
    return html.go("/_sandbox/")


def _number(form: Form, name: str, most: int) -> int:
    value = form.get(name, "").strip()
    if not (value.isascii() and value.isdigit() and 0 < int(value) <= most):
        raise StripeError(f"{name}: a whole number from 1 to {most}.")
    return int(value)


def _advance(store: Store, form: Form) -> None:
    clock.advance(store, _number(form, "days", MOST_DAYS) * DAY)


def _refund(store: Store, form: Form) -> None:
    charge = store.get("charge", form.get("charge", ""))
    whole = form.get("amount", "") == ""
    money.refund(store, charge, 0 if whole else _number(form, "amount", charge["amount"]))


def _fail_refund(store: Store, form: Form) -> None:
    charge = form.get("charge", "")
    found = store.find("refund", charge=charge, status="succeeded")
    if not found:
        raise not_found("refund", charge)
    money.fail_refund(store, found[0])


def _dispute(store: Store, form: Form) -> None:
    charge = store.get("charge", form.get("charge", ""))
    money.open_dispute(store, charge, inquiry=form.get("inquiry") == "yes")


def _close(store: Store, form: Form) -> None:
    dispute = store.get("dispute", form.get("dispute", ""))
    money.close_dispute(store, dispute, won=form.get("won") == "yes")


def _resend(store: Store, form: Form) -> None:
    webhooks.resend(store, form.get("event", ""))


def _switches(store: Store, form: Form) -> None:
    webhooks.set_switches(
        store,
        duplicated="duplicated" in form,
        reordered="reordered" in form,
        lost="lost" in form,
        delay=_number(form, "delay", 3600) if form.get("delay", "0").strip("0 ") else 0,
    )


def _api_switches(store: Store, form: Form) -> None:
    latency = form.get("latency", "0").strip("0 ")
    seconds = _number(form, "latency", MOST_LATENCY) if latency else 0
    rest.set_switches(store, form.get("failure", ""), seconds)


VERBS: dict[str, Callable[[Store, Form], None]] = {
    "advance": _advance,
    "refund": _refund,
    "fail_refund": _fail_refund,
    "dispute": _dispute,
    "close": _close,
    "resend": _resend,
    "switches": _switches,
    "api": _api_switches,
}


def _control(store: Store, message: str, *, status: int = 200) -> Page:
    parts = [_clock(store), _delivery(store), _payments(store), _subscriptions(store),
             _customers(store), _events(store)]  # fmt: skip
    sections = "".join(f"<section>{part}</section>" for part in parts)
    return html.page("Stripe sandbox", html.alert(message) + sections, status=status, wide=True)


def _form(verb: str, content: str, *, inline: bool = True) -> str:
    kind = ' class="inline"' if inline else ""
    return f'<form method="post" action="/_sandbox/{verb}"{kind}>{content}</form>'


def _hidden(name: str, value: str) -> str:
    return f'<input type="hidden" name="{name}" value="{escape(value)}">'


def _clock(store: Store) -> str:
    jumps = "".join(
        html.button("days", str(days), label)
        for days, label in ((1, "1 day"), (7, "1 week"), (31, "1 month (31 days)"))
    )
    own = (
        '<label for="days">Days</label> <input type="number" id="days" name="days" min="1"'
        f' max="{MOST_DAYS}" value="3"> <button>Advance</button>'
    )
    return (
        f"<h2>Clock</h2><p>It is {html.day(store.now())} UTC here"
        f" ({store.offset // DAY} days ahead). Advance by:</p>"
        + _form("advance", jumps, inline=False)
        + _form("advance", own, inline=False)
    )


def _delivery(store: Store) -> str:
    switches = store.switches
    boxes = "".join(
        f'<label class="inline"><input type="checkbox" name="{name}"'
        f"{' checked' if switches.get(name) else ''}> {words}</label>"
        for name, words in (
            ("duplicated", "twice"),
            ("reordered", "out of order"),
            ("lost", "not at all"),
        )
    )
    delay = (
        '<label for="delay">late, by seconds</label> <input type="number" id="delay" name="delay"'
        f' min="0" max="3600" value="{int(switches.get("delay", 0))}"> <button>Set</button>'
    )
    api = "".join(
        f'<label class="inline"><input type="radio" name="failure" value="{value}"'
        f"{' checked' if store.api.get('failure', '') == value else ''}> {words}</label>"
        for value, words in (("", "well"), ("refused", "with 500"), ("lost", "done, not answered"))
    )
    latency = (
        '<label for="latency">after seconds</label> <input type="number" id="latency"'
        f' name="latency" min="0" max="{MOST_LATENCY}"'
        f' value="{int(store.api.get("latency_seconds", 0))}"> <button>Set</button>'
    )
    waiting = sum(row["state"] == "pending" for row in store.deliveries)
    address = escape(store.config.webhook_url or "nobody")
    return (
        f"<h2>Delivery of events</h2><p>To {address}. Waiting: {waiting}.</p>"
        + _form("switches", boxes + delay, inline=False)
        + "<h2>Answers of the API</h2>"
        + _form("api", api + latency, inline=False)
    )


def _payments(store: Store) -> str:
    rows = [
        [
            html.day(charge["created"]),
            escape(_name(store, charge["customer"])),
            html.amount(charge["amount"], charge["currency"]),
            html.amount(charge["amount_refunded"], charge["currency"]),
            escape(charge["status"]),
            _money_back(store, charge) if charge["paid"] else "",
        ]
        for charge in store.find("charge")[:MOST_ROWS]
    ]
    heads = ["Date", "Customer", "Amount", "Refunded", "Status", "What may happen to it"]
    return html.table("Payments", heads, rows)


def _money_back(store: Store, charge: Object) -> str:
    own = _hidden("charge", charge["id"])
    disputes = store.find("dispute", charge=charge["id"])
    if disputes and disputes[0]["status"].endswith("needs_response"):
        row = _hidden("dispute", disputes[0]["id"])
        return f"disputed ({escape(disputes[0]['status'])}) " + _form(
            "close", row + html.button("won", "yes", "Win") + html.button("won", "no", "Lose")
        )
    if charge["disputed"]:
        return f"dispute {escape(disputes[0]['status'])}"
    part = (
        f'<input type="number" name="amount" min="1" max="{charge["amount"]}"'
        f' aria-label="part, in minor units" placeholder="all of it"> <button>Refund</button>'
    )
    found = "" if charge["refunded"] else _form("refund", own + part)
    if charge["amount_refunded"]:
        found += _form("fail_refund", own + "<button class='quiet'>Let the refund fail</button>")
    return found + _form(
        "dispute",
        own
        + html.button("inquiry", "no", "Open dispute", "quiet")
        + html.button("inquiry", "yes", "Inquire", "quiet"),
    )


def _name(store: Store, customer_id: str | None) -> str:
    customer = store.objects.get(customer_id or "", {})
    return str(customer.get("email") or customer_id or "guest")


def _subscriptions(store: Store) -> str:
    rows = [
        [
            escape(_name(store, row["customer"])),
            f"<code>{row['id']}</code>",
            escape(row["status"]) + (", ends then" if row["cancel_at_period_end"] else ""),
            html.day(row["items"]["data"][0]["current_period_end"]),
        ]
        for row in store.find("subscription")[:MOST_ROWS]
    ]
    return html.table("Subscriptions", ["Customer", "Id", "Status", "Period until"], rows)


def _customers(store: Store) -> str:
    rows = [
        [escape(row["email"] or ""), f"<code>{row['id']}</code>", html.day(row["created"])]
        for row in store.find("customer")[:MOST_ROWS]
    ]
    return html.table("Customers", ["Email", "Id", "Since"], rows)


def _events(store: Store) -> str:
    states: dict[str, list[str]] = {}
    for row in store.deliveries:
        words = f"{row['state']} {row['answer']}"
        states.setdefault(row["event"], []).append(words.strip())
    rows = [
        [
            html.day(event["created"]),
            escape(event["type"]),
            f"<code>{event['data']['object'].get('id', '')}</code>",
            escape(", ".join(states.get(event["id"], ["to nobody"]))),
            _form("resend", _hidden("event", event["id"]) + "<button>Resend</button>"),
        ]
        for event in store.find("event")[:MOST_ROWS]
    ]
    return html.table("Newest events", ["Date", "Type", "About", "Delivery", ""], rows)
