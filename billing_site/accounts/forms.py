from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.forms import UserChangeForm, UserCreationForm

from billing_site.accounts.models import User
from billing_site.accounts.services import MAX_NAME_CHARS


class ApiKeyForm(forms.Form):
    name = forms.CharField(
        label=_("Name"),
        max_length=MAX_NAME_CHARS,
        help_text=_("Where the key will be used, such as “laptop” or “shop backend”."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


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
