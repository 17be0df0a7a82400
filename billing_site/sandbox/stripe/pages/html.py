"""The look of the hosted pages, and what several of them need."""

from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from urllib.parse import quote

from billing_site.sandbox.stripe import cards
from billing_site.sandbox.stripe.store import Object

WITHOUT_CENTS = {"jpy", "krw", "vnd", "clp", "xaf", "xof", "isk", "ugx", "pyg", "rwf"}

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 0; color: #1a1a2e; background: #f6f7fb; }
main { max-width: 42rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
main.wide { max-width: 72rem; }
.banner { background: #ffd84d; color: #1a1a2e; text-align: center; padding: .5rem;
  font-weight: 600; }
section { background: #fff; border: 1px solid #d9dce8; border-radius: .5rem; padding: 1rem;
  margin: 1rem 0; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .35rem .5rem; border-bottom: 1px solid #e6e8f0;
  vertical-align: top; }
label { display: block; margin: .75rem 0 .25rem; font-weight: 600; }
label.inline { display: inline; font-weight: 400; margin-right: 1rem; }
input[type=text], input[type=number] { font: inherit; padding: .45rem; border: 1px solid #71778f;
  border-radius: .3rem; max-width: 100%; box-sizing: border-box; }
button { font: inherit; padding: .45rem .9rem; border: 0; border-radius: .3rem; color: #fff;
  background: #4338ca; cursor: pointer; margin: .25rem; }
button.quiet { background: #4b5068; }
form.inline { display: inline; }
.error { color: #a4001c; font-weight: 600; }
:focus-visible { outline: 3px solid #ffb300; outline-offset: 2px; }
"""


@dataclass(frozen=True)
class Page:
    """An answer in HTML, or the way to another address."""

    html: str = ""
    status: int = 200
    redirect: str = ""


def page(title: str, content: str, *, status: int = 200, wide: bool = False) -> Page:
    """A whole document; `content` is HTML."""
    kind = ' class="wide"' if wide else ""
    return Page(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{escape(title)} (sandbox)</title>'
        f"<style>{STYLE}</style></head><body>"
        f'<div class="banner" role="note">Sandbox: no real money</div>'
        f"<main{kind}><h1>{escape(title)}</h1>{content}</main></body></html>",
        status,
    )


def go(address: str) -> Page:
    """On to `address`."""
    return Page(status=303, redirect=quote(address, safe="/:?#[]@!$&'()*+,;=%-._~{}"))


def amount(minor: int, currency: str | None) -> str:
    """`$9.00` as `9.00 USD`."""
    name = (currency or "").upper()
    if name.lower() in WITHOUT_CENTS:
        return f"{minor} {name}"
    sign, minor = ("-" if minor < 0 else ""), abs(minor)
    return f"{sign}{minor // 100}.{minor % 100:02} {name}"


def day(moment: int) -> str:
    """A date with its time, UTC."""
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M}"


def date(moment: int) -> str:
    """Without the time, UTC."""
    return day(moment).partition(" ")[0]


def person(customer: Object) -> str:
    """HTML."""
    return escape(customer["email"] or customer["name"] or customer["id"])


def facts(rows: list[list[str]]) -> str:
    """Names and values; `rows` are HTML."""
    body = "".join(f'<tr><th scope="row">{name}</th><td>{value}</td></tr>' for name, value in rows)
    return f"<table><tbody>{body}</tbody></table>"


def order(session: Object, private: Object) -> str:
    """What a Checkout session is about, with its total; `private` is what it does not show."""
    currency = session["currency"]
    rows = [
        [
            escape(line["description"]),
            str(line["quantity"]),
            amount(line["amount_subtotal"], currency) + _interval(line["price"]),
        ]
        for line in private["lines"]
    ]
    if days := private.get("trial_days"):
        rows.append([f"Free for {days} days", "", amount(0, currency)])
    if off := session["total_details"]["amount_discount"]:
        rows.append(["Discount", "", amount(-off, currency)])
    rows.append(["<b>Total</b>", "", f"<b>{amount(session['amount_total'], currency)}</b>"])
    return table("Order", ["What", "Quantity", "Price"], rows)


def _interval(price: Object) -> str:
    if not price["recurring"]:
        return ""
    count, name = price["recurring"]["interval_count"], price["recurring"]["interval"]
    return f" every {name}" if count == 1 else f" every {count} {name}s"


def alert(message: str) -> str:
    """A message that screen readers say at once, or nothing."""
    return f'<p class="error" role="alert">{escape(message)}</p>' if message else ""


def button(name: str, value: str, label: str, kind: str = "") -> str:
    return (
        f'<button name="{escape(name)}" value="{escape(value)}" class="{kind}">'
        f"{escape(label)}</button>"
    )


def table(caption: str, heads: list[str], rows: list[list[str]]) -> str:
    """`rows` are HTML."""
    if not rows:
        return f"<h2>{escape(caption)}</h2><p>None.</p>"
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f"<h2>{escape(caption)}</h2><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>"
    )


def card_field() -> str:
    return (
        '<label for="card">Card number</label>'
        '<input type="text" id="card" name="card" inputmode="numeric" autocomplete="off"'
        ' size="24" value="4242 4242 4242 4242" aria-describedby="cards">'
    )


def test_cards() -> str:
    rows = [[cards.spaced(card.number), escape(card.meaning)] for card in cards.CARDS]
    return f'<section id="cards">{table("Test cards", ["Number", "What it does"], rows)}</section>'
