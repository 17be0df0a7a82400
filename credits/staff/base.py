"""What the admin's pages share: books that nobody can edit, and forms that call a service."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold import widgets
from unfold.admin import ModelAdmin

from credits.money import grouped

FURTHEST = timedelta(days=3653)  # ten years: anything later is a typing error


class FormPages:
    """Pages with one form, beside those of a ModelAdmin."""

    opts: Any
    admin_site: Any
    get_object: Any

    def row_or_404(self, request: HttpRequest, object_id: str) -> Any:
        """The row that the address names."""
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404
        return row

    def form_page(
        self,
        request: HttpRequest,
        form: forms.Form,
        *,
        title: str,
        buttons: Sequence[tuple[str, str]],
        intro: str = "",
        **context: Any,
    ) -> HttpResponse:
        """A page of the admin with one form, which is sent to its own address.

        A button sends its value as `step`. `lines` in the context are shown above the buttons: what
        the form would do; `agreed` is sent along, to know that the person has seen just these.
        `original` is the row that the page is about: it stands at the top, as the way back to it;
        `back` leads away without doing anything: by itself to the row, or to the list.
        """
        status = 400 if form.is_bound and form.errors else 200
        page = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "form": form,
            "title": title,
            "buttons": buttons,
            "intro": intro,
            "media": form.media,
            "back": self._page_behind(request),
            **context,
        }
        return TemplateResponse(request, "admin/credits/form_page.html", page, status=status)

    def _page_behind(self, request: HttpRequest) -> str:
        """The page of the row that the address names, or the list."""
        pages = f"admin:{self.opts.app_label}_{self.opts.model_name}"
        match = request.resolver_match
        if match and "object_id" in match.kwargs:
            return reverse(f"{pages}_change", args=[match.kwargs["object_id"]])
        return reverse(f"{pages}_changelist")


class ReadOnlyAdmin(FormPages, ModelAdmin):  # type: ignore[misc]
    """Looking only, for superusers too. Lists do not count millions of rows."""

    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class LastDayField(forms.DateField):
    """A day that credits or codes are good through, in UTC: from today to ten years ahead."""

    def clean(self, value: Any) -> date | None:
        day: date | None = super().clean(value)
        if day is None:
            return None
        today = timezone.now().astimezone(UTC).date()
        if not today <= day <= today + FURTHEST:
            raise forms.ValidationError(_("This has to be a day from today to ten years ahead."))
        return day


class MinorUnits(forms.IntegerField):
    """Money. Django alone would take 9.00 for 9, which is $0.09."""

    def to_python(self, value: Any) -> int | None:
        if "." in str(value):
            raise forms.ValidationError(_("In minor units, without a point: 900 usd are $9.00."))
        found: int | None = super().to_python(value)
        return found


class StaffForm(forms.Form):
    """A form that looks like the admin's own. Without fields it is only a button."""

    WIDGETS: ClassVar[dict[type[forms.Field], type[forms.Widget]]] = {
        forms.CharField: widgets.UnfoldAdminTextInputWidget,
        forms.EmailField: widgets.UnfoldAdminEmailInputWidget,
        forms.IntegerField: widgets.UnfoldAdminIntegerFieldWidget,
        forms.BooleanField: widgets.UnfoldBooleanSwitchWidget,
        LastDayField: widgets.UnfoldAdminSingleDateWidget,
        MinorUnits: widgets.UnfoldAdminIntegerFieldWidget,
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            self._dress(field)

    def _dress(self, field: forms.Field) -> None:
        if isinstance(field.widget, forms.Textarea):
            field.widget = widgets.UnfoldAdminTextareaWidget()
        elif isinstance(field, forms.ChoiceField):
            field.widget = widgets.UnfoldAdminSelectWidget(choices=field.choices)
        elif type(field) in self.WIDGETS and not field.widget.is_hidden:
            field.widget = self.WIDGETS[type(field)]()
        field.widget.is_required = field.required
        if isinstance(field, forms.IntegerField):
            field.widget.attrs.update(field.widget_attrs(field.widget))


def number(
    name: str, description: Any = None, write: Callable[[int], str] = grouped
) -> Callable[[Any], str]:
    """A column with a whole number as people read it: 1,250; admin.css puts it to the right."""

    @admin.display(description=description or name.replace("_", " "), ordering=name, empty_value="")
    def show(row: Any) -> str:
        value = getattr(row, name)
        return "" if value is None else write(value)

    show.__name__ = f"number_{name}"
    return show


def actor_of(request: HttpRequest) -> str:
    """Who is at work, as the books and the audit log name them."""
    return f"staff:{request.user.get_username()}"


def start_of(day: date) -> datetime:
    """The first moment of this day, UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def end_of(day: date) -> datetime:
    """The moment after the last one of this day, UTC."""
    return start_of(day) + timedelta(days=1)


def last_day_of(end: datetime) -> date:
    """The day whose end_of() this is."""
    return (end.astimezone(UTC) - timedelta(microseconds=1)).date()
