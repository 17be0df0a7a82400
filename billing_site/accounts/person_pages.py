"""What staff does for a person who asks for it: all data as a file, and the end of the account."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from billing_site.accounts import erasure, export
from billing_site.accounts.models import User
from credits import services as credits
from credits.money import credits_words, grouped, single_words
from credits.payments.client import SellingUnavailable
from credits.staff.base import FormPages, StaffForm, actor_of


class ReasonForm(StaffForm):
    reason = forms.CharField(
        max_length=200,
        help_text=_("Such as the number of the ticket, without names: it is kept for ever."),
    )


class EraseForm(ReasonForm):
    email = forms.EmailField(
        label=_("The address again"), help_text=_("To be sure that it is this person.")
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"].lower()
        if email != self.user.email:
            raise forms.ValidationError(_("This is not the address of the person."))
        return email


class PersonPages(FormPages):
    """Two buttons on the page of a person, each with a permission of its own."""

    actions_detail = ("export", "erase")

    def has_export_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        return request.user.has_perm("accounts.export_person")

    def has_erase_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        return request.user.has_perm("accounts.erase_person")

    @action(description=_("Export data"), url_path="export", permissions=["export"])
    def export(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """All data of the person, texts of generations too, so it is logged that it was read."""
        user, form = self.row_or_404(request, object_id), ReasonForm(request.POST or None)
        if form.is_valid():
            now = timezone.now()
            credits.record_action(
                actor=actor_of(request),
                action="person.export",
                account_id=credits.open_account(user_id=user.pk, now=now).pk,
                target=f"user:{user.pk}",
                reason=form.cleaned_data["reason"],
                now=now,
            )
            return StreamingHttpResponse(
                export.pieces(user=user, now=now),
                content_type="application/json",
                headers={"Content-Disposition": f'attachment; filename="person-{user.pk}.json"'},
            )
        return self.form_page(
            request,
            form,
            title=gettext("All data of %s") % user,
            intro=gettext("For the person who asked for it, and for nobody else."),
            buttons=[("confirm", gettext("Download"))],
            original=user,
        )

    @action(description=_("Erase"), url_path="erase", permissions=["erase"])
    def erase(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """What is lost, the address once more, a reason, and then it is done for good."""
        user = self.row_or_404(request, object_id)
        refusal = _refusal(user)
        form = StaffForm() if refusal else EraseForm(request.POST or None, user=user)
        if form.is_valid():
            try:
                erasure.erase(
                    user=user,
                    actor=actor_of(request),
                    reason=form.cleaned_data["reason"],
                    now=timezone.now(),
                )
            except SellingUnavailable as error:
                form.add_error(None, gettext("Nothing was deleted: %s") % error.reason)
            else:
                messages.success(request, gettext("The account is deleted."))
                return redirect("admin:accounts_user_change", user.pk)
        return self.form_page(
            request,
            form,
            title=gettext("Erase %s") % user,
            intro=refusal or gettext("This cannot be undone. The books stay, without the person."),
            lines=[] if refusal else _lost(erasure.losses(user=user, now=timezone.now())),
            buttons=[] if refusal else [("confirm", gettext("Erase for good"))],
            original=user,
        )


def _refusal(user: User) -> str:
    if user.erased_at is not None:
        return gettext("This account is erased.")
    if user.is_staff:
        return gettext("This person is staff. An owner has to change that first.")
    return ""


def _lost(losses: erasure.Losses) -> list[str]:
    """What to check before, a sentence a line."""
    lines = [
        gettext("%(credits)s and %(tokens)s are lost.")
        % {"credits": credits_words(losses.credits), "tokens": single_words(losses.tokens)},
        gettext("A plan is running: Stripe ends it at once, and refunds nothing.")
        if losses.has_plan
        else gettext("No plan is running."),
    ]
    if losses.open_generations:
        lines.append(
            ngettext(
                "%d generation is under way: it is canceled.",
                "%d generations are under way: they are canceled.",
                losses.open_generations,
            )
            % losses.open_generations
        )
    if losses.owed:
        owed = ngettext(
            "%s credit is owed, and forgiven.", "%s credits are owed, and forgiven.", losses.owed
        )
        lines.append(owed % grouped(losses.owed))
    return lines
