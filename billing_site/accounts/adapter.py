from allauth.account.adapter import DefaultAccountAdapter
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from billing_site.accounts.models import User


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """allauth, with what it leaves to us."""

    def clean_email(self, email: str) -> str:
        """Its forms take longer addresses than can be stored. Raises ValidationError."""
        most = User._meta.get_field("email").max_length
        if most and len(email) > most:
            raise ValidationError(_("An address has at most %d characters.") % most)
        cleaned: str = super().clean_email(email)
        return cleaned
