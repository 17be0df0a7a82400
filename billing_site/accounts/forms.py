from typing import Any

from allauth.account import forms as allauth
from allauth.account.adapter import get_adapter
from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.forms import UserChangeForm, UserCreationForm

from billing_site.accounts.models import User
from billing_site.accounts.services import MAX_NAME_CHARS
from billing_site.accounts.zones import zone_names


class SentenceCase:
    """A form whose labels and placeholders have one capital: “New password”."""

    fields: dict[str, forms.Field]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        for field in self.fields.values():
            field.label = str(field.label).capitalize()
            if hint := field.widget.attrs.get("placeholder"):
                field.widget.attrs["placeholder"] = str(hint).capitalize()


class LoginForm(SentenceCase, allauth.LoginForm):  # type: ignore[misc]
    pass


class ChangePasswordForm(SentenceCase, allauth.ChangePasswordForm):  # type: ignore[misc]
    pass


class NewPasswordForm(SentenceCase, allauth.ResetPasswordKeyForm):  # type: ignore[misc]
    pass


class ApiKeyForm(forms.Form):
    name = forms.CharField(
        label=_("Name"),
        max_length=MAX_NAME_CHARS,
        help_text=_("Where the key will be used, such as “laptop” or “shop backend”."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


class ZoneForm(forms.Form):
    timezone = forms.ChoiceField(
        label=_("Time zone"),
        required=False,
        choices=lambda: [("", "UTC"), *((name, name.replace("_", " ")) for name in zone_names())],
    )


class DeleteAccountForm(forms.Form):
    password = forms.CharField(
        label=_("Your password"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )

    def __init__(self, *arguments: Any, user: User, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.user = user

    def clean_password(self) -> str:
        """Checked as at sign-in: by the same limits."""
        password: str = self.cleaned_data["password"]
        if not get_adapter().reauthenticate(self.user, password):
            raise forms.ValidationError(_("This is not your password."), code="wrong_password")
        return password


class LowercaseEmail:
    """Addresses are compared in lower case everywhere, so they are stored so."""

    cleaned_data: dict[str, str]

    def clean_email(self) -> str:
        return self.cleaned_data["email"].lower()


class NewUserForm(LowercaseEmail, UserCreationForm):  # type: ignore[misc]
    class Meta:
        model = User
        fields = ("email",)


class UserForm(LowercaseEmail, UserChangeForm):  # type: ignore[misc]
    class Meta:
        model = User
        fields = "__all__"
