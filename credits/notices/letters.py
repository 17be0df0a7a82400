"""What each notice says. A letter is plain text; the templates in templates/mail/ dress it.

Amounts of credits are counts of this account; money is written as in Stripe's invoice.
"""

from collections.abc import Callable

from django.urls import reverse
from django.utils.translation import gettext as _

from credits.models import Notice
from credits.money import credits_words as _credits
from credits.money import grouped, money
from credits.money import single_words as _single
from credits.notices.plan_letters import plan_changed
from credits.notices.wording import STAYS, Context, Letter
from credits.notices.wording import date_words as _date

Kind = Notice.Kind


def letter_of(notice: Notice) -> Letter:
    """The letter for a customer's notice."""
    return LETTERS[Kind(notice.kind)](notice.context)


def _welcome(_context: Context) -> Letter:
    return Letter(
        _("Welcome"),
        [
            _("Your address is confirmed and your account is open."),
            _("A plan brings new credits with every period, a pack credits that never end."),
        ],
        _("See the prices"),
        reverse("pricing"),
    )


def _purchase(context: Context) -> Letter:
    tokens = context.get("tokens", 0)
    what = _single(tokens) if tokens else _credits(context["credits"])
    facts = [
        (_("Bought"), context["name"]),
        (_("Paid"), money(context["paid"], context["currency"])),
        (_("Added"), what),
    ]
    if context.get("ends"):
        facts.append((_("Paid until"), _date(context["ends"])))
    paragraphs = [_("Thank you. Your purchase is on your account."), *_repaid(context)]
    return Letter(
        _("%(what)s added: %(name)s") % {"what": what, "name": context["name"]},
        paragraphs,
        _("Go to your account"),
        reverse("dashboard"),
        facts,
    )


def _trial(context: Context) -> Letter:
    then = {
        "price": money(context["then_paid"], context["currency"]),
        "what": _credits(context["then_credits"]),
    }
    added = {"name": context["name"], "what": _credits(context["credits"])}
    return Letter(
        _("Your trial of %(name)s has begun: %(what)s added") % added,
        [
            _("You try the plan for nothing until the trial ends."),
            _("Then it is paid for the first time: %(price)s, which bring %(what)s.") % then,
            _("Cancel before, and you pay nothing."),
            *_repaid(context),
        ],
        _("See your plan"),
        reverse("subscription"),
        [
            (_("Plan"), context["name"]),
            (_("Added"), _credits(context["credits"])),
            (_("Trial ends"), _date(context["ends"])),
        ],
    )


def _renewal(context: Context) -> Letter:
    facts = [
        (_("Plan"), context["name"]),
        (_("Paid"), money(context["paid"], context["currency"])),
        (_("Ended, not used"), _credits(context["ended"])),
        (_("Carried over"), _credits(context["carried"])),
        (_("Added"), _credits(context["credits"])),
        (_("Paid until"), _date(context["ends"])),
    ]
    return Letter(
        _("Your plan was renewed: %s added") % _credits(context["credits"]),
        [
            _("A new period of your plan has begun. Packs and gifts are as they were."),
            *_repaid(context),
        ],
        _("See the statement"),
        reverse("ledger"),
        facts,
    )


def _payment_failed(context: Context) -> Letter:
    amount = money(context["due"], context["currency"])
    paragraphs = [_("We could not collect %s for your plan.") % amount]
    if not context["next_attempt"]:
        paragraphs.append(_("There will be no further attempt: pay it yourself, or the plan ends."))
    else:
        paragraphs.append(
            _("The next attempt is on %s. Nothing is lost if it works, or if you pay before.")
            % _date(context["next_attempt"])
        )
        if context["credits_until"]:
            paragraphs.append(
                _("Until %s your plan's credits can be spent; then they end unless it is paid.")
                % _date(context["credits_until"])
            )
    paragraphs.append(_("Packs, gifts and single generations stay in any case."))
    return Letter(
        _("Payment failed: %s for your plan") % amount,
        paragraphs,
        _("Check how you pay"),
        reverse("pricing"),
        [(_("Attempt"), str(context["attempt"]))],
        (_("Pay this invoice at Stripe"), context["pay_url"]) if context["pay_url"] else None,
    )


def _subscription_ended(context: Context) -> Letter:
    paragraphs = [
        _("Your plan was not paid and has ended.")
        if context["unpaid"]
        else _("Your plan has ended."),
        _("With it ended %s of the plan that were not used.") % _credits(context["ended"]),
        str(STAYS),
    ]
    return Letter(_("Your plan has ended"), paragraphs, _("See the prices"), reverse("pricing"))


def _low_balance(context: Context) -> Letter:
    left = _credits(context["available"])
    return Letter(
        _("%s left") % left,
        [
            _("You have %(left)s left. You asked to be told below %(threshold)s.")
            % {"left": left, "threshold": grouped(context["threshold"])}
        ],
        _("Get more credits"),
        reverse("pricing"),
    )


def _expiring(context: Context) -> Letter:
    left, ends = _credits(context["remaining"]), _date(context["ends"])
    return Letter(
        _("%(left)s end on %(ends)s") % {"left": left, "ends": ends},
        [
            _("Of the credits that you were given, %(left)s are not used and end on %(ends)s.")
            % {"left": left, "ends": ends},
            _("They are spent before those of packs."),
        ],
        _("Use them"),
        reverse("dashboard"),
    )


def _refund(context: Context) -> Letter:
    facts = [
        (_("Paid"), money(context["paid"], context["currency"])),
        (_("Refunded so far"), money(context["back"], context["currency"])),
        *_taken(context),
    ]
    return Letter(
        _("Refund of %s") % money(context["back"], context["currency"]),
        [
            _("A payment of yours was refunded. What it had bought goes back in the same share."),
            *_owed(context),
        ],
        _("See the statement"),
        reverse("ledger"),
        facts,
    )


def _dispute_opened(context: Context) -> Letter:
    return Letter(
        _("A payment of yours is disputed"),
        [
            _("Your bank told us that you dispute a payment of %s.")
            % money(context["amount"], context["currency"]),
            _("Until that is decided, %s of that purchase are set aside and cannot be spent.")
            % _credits(context["frozen"]),
            _("If you did not mean to dispute it, please tell your bank."),
        ],
        _("See the statement"),
        reverse("ledger"),
    )


def _dispute_closed(context: Context) -> Letter:
    if context["lost"]:
        return Letter(
            _("The dispute is over: the payment went back to you"),
            [
                _("Your bank decided for you. What the payment had bought goes back."),
                *_owed(context),
            ],
            _("See the statement"),
            reverse("ledger"),
            _taken(context),
        )
    return Letter(
        _("The dispute is over: your credits are free again"),
        [_("The payment stands. What had been set aside can be spent again, if it has not ended.")],
        _("Go to your account"),
        reverse("dashboard"),
    )


def _taken(context: Context) -> list[tuple[str, str]]:
    """What went back of a purchase so far."""
    if "revoked" in context:
        return [(_("Taken back so far"), _single(context["revoked"]))]
    facts = [(_("Taken back so far"), _credits(context["taken"]))]
    if context["spent"]:
        facts.append((_("Of these already spent"), _credits(context["spent"])))
    return facts


def _repaid(context: Context) -> list[str]:
    if not context.get("repaid"):
        return []
    return [_("%s of them paid what the account owed.") % _credits(context["repaid"])]


def _owed(context: Context) -> list[str]:
    if not context["owed"]:
        return []
    return [_("You owe %s now: the next that come in pay them.") % _credits(context["owed"])]


LETTERS: dict[Notice.Kind, Callable[[Context], Letter]] = {
    Kind.WELCOME: _welcome,
    Kind.PURCHASE: _purchase,
    Kind.TRIAL: _trial,
    Kind.RENEWAL: _renewal,
    Kind.PLAN_CHANGED: plan_changed,
    Kind.PAYMENT_FAILED: _payment_failed,
    Kind.SUBSCRIPTION_ENDED: _subscription_ended,
    Kind.LOW_BALANCE: _low_balance,
    Kind.EXPIRING: _expiring,
    Kind.REFUND: _refund,
    Kind.DISPUTE_OPENED: _dispute_opened,
    Kind.DISPUTE_CLOSED: _dispute_closed,
}
