"""What Stripe last said about subscriptions; the clicks that changed plans, or were to buy."""

from django.contrib import admin
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from credits.models import CheckoutStart, PlanClick, PlanSchedule, Subscription
from credits.staff.base import number
from credits.staff.lists import BookList, Days


@admin.register(Subscription)
class SubscriptionAdmin(BookList):
    list_display = ("subscription_id", "customer", "status", "period_end", "as_of")
    list_filter = ("cancel_at_period_end",)
    moment = ""
    search_help_text = _("A whole email address, account, customer or subscription.")

    def find_named(self, word: str) -> Q:
        return Q(subscription_id=word)


@admin.register(PlanSchedule)
class PlanScheduleAdmin(BookList):
    list_display = ("schedule_id", "customer", "active", "price_id", "begins_at", "as_of")
    list_filter = ("active",)
    moment = ""
    search_help_text = _("A whole email address, account, customer, schedule or subscription.")

    def find_named(self, word: str) -> Q:
        known = Subscription.objects.filter(subscription_id=word).first()
        found = Q(schedule_id=word)
        return found | Q(account_id=known.account_id, subscription_id=word) if known else found


@admin.register(PlanClick)
class PlanClickAdmin(BookList):
    list_display = ("created_at", "customer", "action", "offer", "outcome")
    list_filter = ("action", "outcome")


@admin.register(CheckoutStart)
class CheckoutStartAdmin(BookList):
    """Clicks on "buy", and the sessions that they led to."""

    list_display = ("created_at", "customer", "offer", number("quantity"), "session_id")
    list_filter = (Days,)
    search_help_text = _("A whole email address, account, customer or session.")

    def find_named(self, word: str) -> Q:
        return Q(session_id=word)
