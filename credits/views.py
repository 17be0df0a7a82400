"""Pages about credits: the landing page and the overview."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from credits import queries
from credits.models import Offer
from credits.money import money
from credits.overview import overview
from credits.requests import account_of
from credits.statement_views import lines_of

RECENT_LINES = 5


@require_safe
@never_cache
def dashboard(request: HttpRequest) -> HttpResponse:
    """The overview of a customer; for everybody else what the site is and costs."""
    if not request.user.is_authenticated:
        return render(request, "credits/landing.html", {"prices": price_rows()})
    now = timezone.now()
    account = account_of(request, now)
    recent = queries.history(account_id=account.pk).select_related("lot")[:RECENT_LINES]
    context = {
        "overview": overview(account, now=now),
        "lines": lines_of(recent),
    }
    return render(request, "credits/dashboard.html", context)


def price_rows() -> list[tuple[Offer, str]]:
    return [(offer, money(offer.amount, offer.currency)) for offer in queries.offers()]
