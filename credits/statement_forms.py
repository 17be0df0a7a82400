"""What people may ask of the statement, and how they are told that it cannot be."""

from datetime import UTC, date, datetime
from datetime import time as clock_time
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from credits import statements
from credits.models import Account, LedgerEntry, Pool
from credits.statements import Selection


class StatementForm(forms.Form):
    """Which lines are wanted."""

    month = forms.ChoiceField(label=gettext_lazy("Month"), required=False)
    pool = forms.ChoiceField(
        label=gettext_lazy("Pool"),
        required=False,
        choices=[("", gettext_lazy("All pools")), *Pool.choices],
    )
    kind = forms.ChoiceField(
        label=gettext_lazy("Kind"),
        required=False,
        choices=[("", gettext_lazy("All kinds")), *LedgerEntry.Kind.choices],
    )

    def __init__(self, asked: QueryDict, account: Account, *, now: datetime) -> None:
        super().__init__(asked)
        self.account = account
        self.months = {str(month): month for month in statements.months(account, now=now)}
        months = [(name, date_format(month.start, "M Y")) for name, month in self.months.items()]
        self.fields["month"].choices = [("", _("All months")), *months]  # type: ignore[attr-defined]

    def selection(self) -> Selection:
        """The lines that a valid form asks for."""
        asked = self.cleaned_data
        month = self.months.get(asked["month"])
        return Selection(self.account.pk, month=month, pool=asked["pool"], kind=asked["kind"])


class MomentForm(forms.Form):
    """A day, to its end, or a time of that day; in the current time zone."""

    day = forms.DateField(label=gettext_lazy("Day"), widget=forms.DateInput(attrs={"type": "date"}))
    time = forms.TimeField(
        label=gettext_lazy("Time"),
        required=False,
        widget=forms.TimeInput(attrs={"type": "time"}),
        help_text=gettext_lazy("Empty: the end of the day."),
    )

    def __init__(self, asked: QueryDict | None, *, now: datetime) -> None:
        super().__init__(asked)
        self.now = now

    def clean(self) -> dict[str, Any]:
        asked = super().clean() or self.cleaned_data
        if "day" in asked and "time" in asked:
            asked["moment"] = self._moment(asked["day"], asked["time"])
        return asked

    def _moment(self, day: date, at: clock_time | None) -> datetime | None:
        try:
            local = timezone.make_aware(datetime.combine(day, at or clock_time.max))
            moment = local.astimezone(UTC)
        except (ValueError, OverflowError):
            self.add_error("day", _("There was no such moment."))
            return None
        if at is None and day == timezone.localdate(self.now):
            return self.now
        if moment > self.now:
            self.add_error("day", _("This is still to come. Please choose a past day."))
        return moment


class VerifyForm(forms.Form):
    """An exported statement: a file, or its text."""

    one_field_will_do = True  # so neither is called optional

    file = forms.FileField(label=gettext_lazy("File"), required=False, allow_empty_file=True)
    text = forms.CharField(
        label=gettext_lazy("Or its text"),
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 5}),
    )

    def clean_text(self) -> str:
        # Browsers send text areas with CRLF, whatever was pasted.
        return str(self.cleaned_data["text"]).replace("\r\n", "\n")

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        if not given.get("file") and not given.get("text"):
            self.add_error("file", _("Please choose a file, or paste its text below."))
        return given

    def content(self) -> bytes:
        """What is to be checked; a file goes before text."""
        file = self.cleaned_data["file"]
        return bytes(file.read()) if file else str(self.cleaned_data["text"]).encode()
