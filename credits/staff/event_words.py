"""Events of Stripe in words: how one ended, what it wrote, and what a dry run of it has shown."""

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from credits.explanations import explain
from credits.models import InboxEvent, LedgerEntry
from credits.money import grouped, signed
from credits.payments import by_hand


def line_words(entry: LedgerEntry) -> str:
    """A ledger line in words and numbers."""
    pool = entry.get_pool_display().lower()
    return f"{signed(entry.amount)} {pool} ({explain(entry)})"


def outlook(trial: by_hand.Trial) -> list[str]:
    """What a dry run has shown."""
    lines = [ending(trial.event)]
    for entry in trial.entries:
        after = gettext("balance %s") % grouped(entry.balance_after)
        lines.append(f"{line_words(entry)}: {after}")
    for token in trial.tokens:
        lines.append(
            f"{gettext('Single generation')} {token.source_key}: {token.get_state_display()}"
        )
    for notice in trial.notices:
        lines.append(gettext("Mail to the customer: %s") % notice.get_kind_display())
    if not (trial.entries or trial.tokens):
        lines.append(gettext("No ledger line is written and no single generation changes."))
    if trial.event.failed_with:
        lines.append(block(trial.event.failed_with))
    return lines


def ending(event: InboxEvent) -> str:
    """What became of an event, and why."""
    label = str(event.get_state_display())
    return f"{label}: {event.why}" if event.why else f"{label}."


def block(text: str) -> SafeString | str:
    """Lines as they are, a traceback or a body say; a dash for none."""
    style = "white-space: pre-wrap; overflow-wrap: anywhere"
    return format_html('<pre class="text-xs" style="{}">{}</pre>', style, text) if text else "-"
