"""What the customer has bought."""

from django.contrib.auth.decorators import login_required
from django.core.paginator import InvalidPage
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from credits.payments import purchase_list as bought
from credits.requests import account_of


@require_safe
@login_required
@never_cache
def purchase_list(request: HttpRequest) -> HttpResponse:
    """Every purchase, newest first, with Stripe's documents about it."""
    account_id = account_of(request, timezone.now()).pk
    try:
        page = bought.purchases(account_id=account_id).page(request.GET.get("page", "1"))
    except InvalidPage:
        raise Http404("There is no such page of purchases.") from None
    context = {"page": page, "purchases": bought.on_page(page, account_id=account_id)}
    return render(request, "credits/purchases.html", context)
