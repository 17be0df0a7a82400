"""What is told of a plan between its first period and its end: changed, to change, to end, resumed.

All are one kind of notice; `news` in its context says which.
"""

from collections.abc import Callable

from django.urls import reverse
from django.utils.translation import gettext as _

from credits.models import Offer
from credits.money import credits_words, money, single_words
from credits.notices.wording import STAYS, Context, Letter, date_words


def plan_changed(context: Context) -> Letter:
    """Whatever happens to a plan between its first period and its end."""
    return PLAN_NEWS[context.get("news", "changed")](context)


def _changed_now(context: Context) -> Letter:
    change = context["credits"]
    words = credits_words(abs(change))
    if change > 0:
        effect = _("For the time that is left of this period, %s were added.") % words
    elif change < 0:
        effect = _("Of the larger plan's unused credits, %s were taken away.") % words
    else:
        effect = _("Your credits stay as they are for the rest of this period.")
    return Letter(
        _("Your plan is now %s") % context["name"],
        [effect],
        _("See the statement"),
        reverse("ledger"),
        [
            (_("Plan"), context["name"]),
            (_("Paid"), money(context["paid"], context["currency"])),
        ],
    )


def _change_planned(context: Context) -> Letter:
    old = context["old"] or _("your present plan")
    price = money(context["paid"], context["currency"])
    if cap := context["rollover_cap"]:
        left = _("Of what is not used of your plan's credits by then, up to %s carry over.")
        left %= credits_words(cap)
    else:
        left = _("What is not used of your plan's credits by then ends.")
    return Letter(
        _("Your plan changes to %(name)s on %(at)s")
        % {"name": context["name"], "at": date_words(context["at"])},
        [
            _("Until then nothing changes: you keep %s, and nothing is paid now.") % old,
            f"{left} {STAYS}",
            _("You can undo this until then: open your plan and keep %s.") % old,
        ],
        _("See your plan"),
        reverse("subscription"),
        [
            (_("Plan until then"), old),
            (_("Plan from then on"), context["name"]),
            (
                _("Price, before taxes and promotion codes"),
                _("%(price)s per %(interval)s")
                % {"price": price, "interval": Offer.Interval(context["interval"]).label},
            ),
            (_("Added with each period"), credits_words(context["credits"])),
        ],
    )


def _end_planned(context: Context) -> Letter:
    ends, name = date_words(context["ends"]), context["name"] or _("Your plan")
    stays = [
        (_("Credits of packs, which never end"), context["bulk"], credits_words),
        (_("Gifts, until their own end"), context["promotional"], credits_words),
        (_("Single generations, which never end"), context["tokens"], single_words),
    ]
    return Letter(
        _("Your plan was cancelled and ends on %s") % ends,
        [
            _("%(name)s runs until %(ends)s. Nothing more is charged.")
            % {"name": name, "ends": ends},
            _("Its credits can be spent until then; what is not used by then ends with it.")
            + f" {STAYS}",
            _("If you change your mind, you can resume the plan until it has ended."),
        ],
        _("See your plan"),
        reverse("subscription"),
        [
            (_("Left of the plan, until it ends"), credits_words(context["left"])),
            *((words, say(number)) for words, number, say in stays if number),
        ],
    )


def _resumed(context: Context) -> Letter:
    facts = []
    if context["renews"]:
        facts.append((_("Renews on"), date_words(context["renews"])))
    if context["currency"]:
        price = money(context["paid"], context["currency"])
        facts.append((_("Price, before taxes and promotion codes"), price))
        facts.append((_("Added then"), credits_words(context["credits"])))
    return Letter(
        _("Your plan goes on"),
        [
            _("%s was to end, and that was taken back.") % (context["name"] or _("Your plan")),
            _("It renews as if it had never been cancelled, and your credits are as they were."),
        ],
        _("See your plan"),
        reverse("subscription"),
        facts,
    )


PLAN_NEWS: dict[str, Callable[[Context], Letter]] = {
    "changed": _changed_now,
    "planned": _change_planned,
    "ends": _end_planned,
    "resumed": _resumed,
}
