"""People, groups and what keeps them safe, for staff. Whatever is changed here is logged.

Not here: second factors and sessions, whose rows hold secrets that nobody has to read.
"""

from typing import Any, ClassVar

from allauth.account.decorators import secure_admin_login
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import Model, QuerySet
from django.forms import ModelForm, ModelMultipleChoiceField
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from billing_site.accounts import services
from billing_site.accounts.forms import NewUserForm, UserForm
from billing_site.accounts.models import ApiKey, User
from billing_site.accounts.person_pages import PersonPages
from credits.models import Account
from credits.services import record_action
from credits.staff.base import ReadOnlyAdmin, actor_of
from credits.staff.links import link_to_row

for model in (Group, Authenticator, AccessAttempt, AccessFailureLog, AccessLog, EmailAddress):
    admin.site.unregister(model)
# Staff signs in where everybody does: the admin's own form lets passwords be tried without a limit.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]


def _change_own_password(request: HttpRequest, extra_context: Any = None) -> HttpResponse:
    """Where everybody changes it, and for the same reason."""
    return redirect("account_change_password")


admin.site.password_change = _change_own_password  # type: ignore[method-assign,assignment]

POWERS = ("is_staff", "is_superuser", "groups")  # single permissions come with a group


class LoggedAdmin(ModelAdmin):  # type: ignore[misc]
    """Additions, changes and deletions stand in the audit log, in the transaction of the change.

    It is for ever, so it tells the values of the fields in `told` only: no names, no addresses.
    """

    told: ClassVar[tuple[str, ...]] = ()

    def save_related(
        self, request: HttpRequest, form: "ModelForm[Any]", formsets: Any, change: bool
    ) -> None:
        super().save_related(request, form, formsets, change)
        names = [name for name in form.changed_data if name in form.cleaned_data]
        if names or not change:
            before = {name: self._value(name, form.initial.get(name)) for name in names}
            after = {name: self._value(name, form.cleaned_data[name]) for name in names}
            self._log(request, "change" if change else "add", form.instance, before, after)

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        with transaction.atomic():
            self._log(request, "delete", obj)
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> None:
        with transaction.atomic():
            for obj in queryset:
                self.delete_model(request, obj)

    def log_target(self, obj: Model) -> str:
        """What the audit log calls a row."""
        return f"{self.opts.model_name}:{obj.pk}"

    def account_of(self, obj: Model) -> int | None:
        """The customer whose page tells of it."""
        return None

    def _value(self, name: str, value: Any) -> Any:
        if name not in self.told:
            return "…"
        if value is None or isinstance(value, (str, bool, int)):
            return value
        return sorted(str(row) for row in value)

    def _log(
        self, request: HttpRequest, what: str, obj: Model, before: Any = None, after: Any = None
    ) -> None:
        record_action(
            actor=actor_of(request),
            action=f"{self.opts.model_name}.{what}",
            account_id=self.account_of(obj),
            target=self.log_target(obj),
            reason="",
            before=before,
            after=after,
            now=timezone.now(),
        )


@admin.register(User)
class UserAdmin(PersonPages, DjangoUserAdmin, LoggedAdmin):  # type: ignore[type-arg]
    """People. Nobody is deleted: an account is erased, and its books stay (docs/privacy.md)."""

    form = UserForm
    add_form = NewUserForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("email", "is_active", "is_staff", "date_joined", "last_login")
    list_filter = ("is_active", "is_staff", "groups")
    search_fields = ("email",)
    ordering = ("email",)
    filter_horizontal = ()
    readonly_fields = ("account", "last_login", "date_joined")
    fieldsets = (
        (None, {"fields": ("email", "account", "password")}),
        (_("Permissions"), {"fields": ("is_active", *POWERS)}),
        (_("Dates"), {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"fields": ("email", "password1", "password2")}),)
    told = ("is_active", *POWERS)

    @admin.display(description=_("credits"), empty_value="-")
    def account(self, user: User) -> SafeString | None:
        """The customer's page, of who has one."""
        account = Account.objects.filter(user=user).first()
        return link_to_row(account, _("Account %s") % account.pk) if account else None

    def account_of(self, obj: Model) -> int | None:
        return services.account_of(obj.pk)

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[Any]:
        """Of who is erased nothing is left to be exported or erased."""
        user = self.get_object(request, str(object_id))
        if user is None or user.erased_at is not None:
            return []
        found: list[Any] = super().get_actions_detail(request, object_id)
        return found

    def formfield_for_manytomany(
        self, db_field: Any, request: HttpRequest, **kwargs: Any
    ) -> "ModelMultipleChoiceField[Any] | None":
        """The few groups are boxes to check."""
        kwargs["widget"] = UnfoldAdminCheckboxSelectMultipleWidget()
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Staff is changed by owners only: else a new password for an owner makes an owner."""
        if obj is not None and obj.is_staff and not request.user.is_superuser:
            return False
        return bool(super().has_change_permission(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        powers = () if request.user.is_superuser else POWERS
        return (*super().get_readonly_fields(request, obj), *powers)

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Without a word about the password for who cannot change it."""
        if obj is None or self.has_change_permission(request, obj):
            return super().get_fieldsets(request, obj)
        return ((None, {"fields": ("email", "account")}), *self.fieldsets[1:])

    def user_change_password(
        self,
        request: HttpRequest,
        id: str,  # noqa: A002 (Django's name)
        form_url: str = "",
    ) -> HttpResponse:
        with transaction.atomic():
            before = self.get_object(request, unquote(id))
            answer: HttpResponse = super().user_change_password(request, id, form_url)
            if before is not None:
                changed = User.objects.filter(pk=before.pk).exclude(password=before.password)
                if changed.exists():
                    self._log(request, "password", before)
        return answer


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, LoggedAdmin):  # type: ignore[misc]
    told = ("name", "permissions")


@admin.register(EmailAddress)
class EmailAddressAdmin(ReadOnlyAdmin):
    """Which address is confirmed, by its owner: to say so for them is to let somebody in."""

    list_display = ("email", "user", "verified", "primary")
    list_filter = ("verified",)
    list_select_related = ("user",)
    search_fields = ("email__iexact",)
    search_help_text = _("A whole email address.")


@admin.register(AccessAttempt)
class AccessAttemptAdmin(LoggedAdmin):
    """Failed sign-ins. Deleting those of a person lets the person try again at once."""

    list_display = ("username", "ip_address", "failures_since_start", "attempt_time")
    fields = ("username", "ip_address", "user_agent", "failures_since_start", "attempt_time")
    search_fields = ("username__iexact", "ip_address__exact")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def log_target(self, obj: Model) -> str:
        user_id = self._person(obj)
        return f"user:{user_id}" if user_id else "user:nobody"

    def account_of(self, obj: Model) -> int | None:
        user_id = self._person(obj)
        return services.account_of(user_id) if user_id else None

    def _person(self, obj: Model) -> int | None:
        assert isinstance(obj, AccessAttempt)
        return User.objects.filter(email=obj.username).values_list("pk", flat=True).first()


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    """Keys are made by their users and can only be revoked here."""

    list_display = ("name", "prefix", "user", "created_at", "last_used_at", "revoked_at")
    list_select_related = ("user",)
    search_fields = ("name", "prefix", "user__email")
    exclude = ("digest",)
    actions = ("revoke",)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.change_apikey")

    @admin.action(description=_("Revoke the selected keys"), permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: "QuerySet[ApiKey]") -> None:
        now = timezone.now()
        revoked = sum(
            services.revoke_api_key(key=key, now=now, staff=actor_of(request)) for key in queryset
        )
        done = ngettext("%d key revoked.", "%d keys revoked.", revoked)
        self.message_user(request, done % revoked)
