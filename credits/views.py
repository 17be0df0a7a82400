"""Pages about credits: the landing page and the overview."""

from dataclasses import dataclass
from datetime import datetime

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from credits import queries, services
from credits.models import Account, Offer, Pool
from credits.money import money
from credits.statement_views import lines_of

RECENT_LINES = 6


@dataclass(frozen=True)
class PoolCard:
    """One of the three pools, as shown; `ends` is when its first credits end."""

    pool: Pool
    amount: int
    rule: str
    ends: queries.Expiry | None
    more_ends: bool


@require_safe
@never_cache
def dashboard(request: HttpRequest) -> HttpResponse:
    """The overview of a customer; for everybody else what the site is and costs."""
    if not request.user.is_authenticated:
        return render(request, "credits/landing.html", {"prices": price_rows()})
    now = timezone.now()
    account = _account(request, now)
    balance = queries.balance(account_id=account.pk, now=now)
    recent = queries.history(account_id=account.pk).select_related("lot")[:RECENT_LINES]
    context = {
        "account": account,
        "balance": balance,
        "pools": _pool_cards(account, balance, now),
        "lines": lines_of(recent),
    }
    return render(request, "credits/dashboard.html", context)


def price_rows() -> list[tuple[Offer, str]]:
    return [(offer, money(offer.amount, offer.currency)) for offer in queries.offers()]


def _account(request: HttpRequest, now: datetime) -> Account:
    user_id = request.user.pk
    assert user_id is not None, "login_required"
    return services.open_account(user_id=user_id, now=now)


def _pool_cards(account: Account, balance: queries.Balance, now: datetime) -> list[PoolCard]:
    rules = {
        Pool.SUBSCRIPTION: _("From your plan, new with every paid period. Spent first."),
        Pool.PROMOTIONAL: _("Gifts and goodwill, each with its own end. Spent second."),
        Pool.BULK: _("From credit packs. They never end. Spent last."),
    }
    ends = queries.expiries(account_id=account.pk, now=now)
    return [
        PoolCard(
            pool=pool,
            amount=balance.pools[pool],
            rule=rule,
            ends=next(iter(ends[pool]), None),
            more_ends=len(ends[pool]) > 1,
        )
        for pool, rule in rules.items()
    ]
