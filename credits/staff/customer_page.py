"""What the page of an account shows: "where did my credits go?", answered from one place."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.db.models import F, Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold import widgets

from credits import queries
from credits.explanations import explain, lot_words, short_key
from credits.models import Account, CreditLot, Hold, Pool, RetailToken, StaffAction
from credits.money import grouped, money, signed
from credits.payments.plan_state import plan_state
from credits.payments.rehearsals import Outlook
from credits.staff import timeline
from credits.staff.deeds import in_words
from credits.staff.links import stripe_url
from credits.staff.purchases import Purchase, purchases_of

MOST_ROWS = 10  # of lots, holds, single generations and purchases; the lists have all
MOST_LOTS = 500  # on the page that explains a balance
PLAN = {  # https://docs.stripe.com/api/subscriptions/object#subscription_object-status
    "active": gettext_lazy("active"),
    "trialing": gettext_lazy("in its trial"),
    "past_due": gettext_lazy("overdue"),
    "unpaid": gettext_lazy("not paid"),
    "paused": gettext_lazy("paused"),
}
STORY = {  # of queries.LotStory: the first is the sum of the others
    "granted": gettext_lazy("Granted"),
    "remaining": gettext_lazy("Left"),
    "frozen": gettext_lazy("Set aside"),
    "used": gettext_lazy("Used"),
    "expired": gettext_lazy("Expired"),
    "carried_over": gettext_lazy("Carried over"),
    "clawed_back": gettext_lazy("Taken back"),
}


class MomentForm(forms.Form):
    """A moment in UTC; a past one, or the balance would be a guess."""

    at = forms.DateTimeField(
        label=gettext_lazy("Balance at (UTC)"),
        required=False,
        widget=forms.DateTimeInput(
            attrs={"type": "datetime-local", "class": " ".join(widgets.INPUT_CLASSES)},
            format="%Y-%m-%dT%H:%M",
        ),
    )

    def __init__(self, *args: Any, account: Account, now: datetime) -> None:
        super().__init__(*args)
        self.account, self.now = account, now

    def clean_at(self) -> datetime | None:
        given: datetime | None = self.cleaned_data["at"]
        at = given.replace(tzinfo=UTC) if given else None
        if at and at > self.now:
            raise forms.ValidationError(_("This moment is still to come: give a past one."))
        since = self.account.created_at.replace(second=0, microsecond=0)
        if at and at < since:
            words = _("There was no account before %s UTC.")
            raise forms.ValidationError(words % f"{since:%Y-%m-%d %H:%M}")
        return at


@dataclass(frozen=True)
class LotRow:
    """A lot in words, and the numbers of what became of it."""

    lot: CreditLot
    words: str
    paid: str

    @property
    def key(self) -> str:
        return short_key(self.lot.source_key)


def context_of(request: HttpRequest, account: Account, *, now: datetime) -> dict[str, Any]:
    """Everything that templates/admin/credits/account/change_form.html needs."""
    form = MomentForm(request.GET if "at" in request.GET else None, account=account, now=now)
    at = form.cleaned_data["at"] if form.is_bound and form.is_valid() else None
    balance = queries.balance(account_id=account.pk, now=now)
    plan = plan_state(account_id=account.pk, now=now)
    sources = timeline.visible_to(request.user)
    kind = request.GET.get("kind", "")
    chosen = [source for source in sources if source.kind == kind] or sources
    return {
        "account": account,
        "email": account.user.get_username(),
        "person_url": _person_url(request, account),
        "freezing": _freezing(account),
        "pools": _pools(balance),
        "balance": balance,
        "set_aside": queries.frozen(account_id=account.pk),
        "lots": _open_lots(account, now),
        "most_rows": MOST_ROWS,
        "holds": _open_holds(account),
        "tokens": _unused_tokens(account),
        "purchases": _purchases(request, account),
        "may_refund": request.user.has_perm("credits.refund_payment"),
        "plan": plan,
        "plan_status": plan and PLAN.get(plan.subscription.status, plan.subscription.status),
        "stripe_url": stripe_url(account.stripe_customer_id or ""),
        "payments_url": _payments_url(request, account),
        "moment_form": form,
        "moment": at,
        "then": queries.balance_at(account_id=account.pk, moment=at) if at else None,
        "sources": sources,
        "kind": kind if chosen is not sources else "",
        "timeline": timeline.page(account.pk, chosen, request.GET.get("after", "")),
        "is_first_page": "after" not in request.GET,
    }


def story_of(account: Account) -> dict[str, Any]:
    """Every lot and what became of it; the columns add up to what was granted."""
    stories = list(queries.explain(account_id=account.pk))
    return {
        "rows": [
            {"of": _row(story.lot), "numbers": [getattr(story, name) for name in STORY]}
            for story in stories[:MOST_LOTS]
        ],
        "totals": [sum(getattr(story, name) for story in stories) for name in STORY],
        "columns": list(STORY.values()),
        "left_out": max(0, len(stories) - MOST_LOTS),
    }


def _pools(balance: queries.Balance) -> list[tuple[str, int]]:
    return [(str(Pool(pool).label), amount) for pool, amount in balance.pools.items()]


def _open_lots(account: Account, now: datetime) -> list[LotRow]:
    left = CreditLot.objects.filter(Q(remaining__gt=0) | Q(frozen__gt=0), account=account)
    lots = left.exclude(expires_at__lte=now, frozen=0)
    return [_row(lot) for lot in _first(lots.order_by(F("expires_at").asc(nulls_last=True), "id"))]


def _row(lot: CreditLot) -> LotRow:
    paid = money(lot.amount_paid, lot.currency) if lot.amount_paid else ""
    return LotRow(lot, lot_words(lot), paid)


def _open_holds(account: Account) -> list[Hold]:
    return _first(Hold.objects.filter(account=account, state=Hold.State.OPEN).order_by("-id"))


def _unused_tokens(account: Account) -> list[RetailToken]:
    unused = RetailToken.objects.filter(account=account, state__in=["available", "reserved"])
    return _first(unused.order_by("-id"))


def _first(rows: Any) -> list[Any]:
    return list(rows[:MOST_ROWS])


def _freezing(account: Account) -> str:
    """Who froze the account, when and why; empty for one that may spend."""
    if account.status != Account.Status.FROZEN:
        return ""
    done = StaffAction.objects.filter(account=account, action="account.frozen").last()
    return f"{done.created_at:%Y-%m-%d %H:%M} UTC, {in_words(done)}" if done else ""


def _person_url(request: HttpRequest, account: Account) -> str:
    """Where exporting and erasing are: credits knows of people only that they sign in."""
    meta = account.user._meta
    if not request.user.has_perm(f"{meta.app_label}.view_{meta.model_name}"):
        return ""
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[account.user_id])


def _purchases(request: HttpRequest, account: Account) -> list[Purchase]:
    if not request.user.has_perm("credits.view_payment"):
        return []
    return purchases_of(account.pk, most=MOST_ROWS)


def _payments_url(request: HttpRequest, account: Account) -> str:
    if not request.user.has_perm("credits.view_payment"):
        return ""
    listing = reverse("admin:credits_payment_changelist")
    return f"{listing}?q={account.stripe_customer_id or account.user.get_username()}"


def outlook_lines(outlook: Outlook) -> Iterator[str]:
    """What a rehearsal would post, a sentence a line, and the balance before and after."""
    for entry in outlook.entries:
        yield _("%(amount)s %(pool)s: %(words)s. Then %(balance)s there.") % {
            "amount": signed(entry.amount),
            "pool": entry.get_pool_display().lower(),
            "words": str(explain(entry)),
            "balance": grouped(entry.balance_after),
        }
    if not outlook.entries:
        yield _("No credits move.")
    for label, name in (
        (_("Available"), "available"),
        (_("Owed"), "owed"),
        (_("Single generations"), "retail_tokens"),
    ):
        before, after = getattr(outlook.before, name), getattr(outlook.after, name)
        if before != after:
            yield _("%(label)s: %(before)s before, %(after)s after.") % {
                "label": label,
                "before": grouped(before),
                "after": grouped(after),
            }
    if outlook.before == outlook.after:
        yield _("The balance stays as it is; what is used stays used.")
