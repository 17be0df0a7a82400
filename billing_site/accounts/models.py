"""Who signs in: a person with an email address, and the API keys that speak for them."""

from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from django.contrib.auth.models import AbstractUser, BaseUserManager
from django.db import models
from django.utils.translation import gettext_lazy as _

from billing_site.accounts import zones


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractUser):
    """A person; the email address is the name."""

    username = None  # type: ignore[assignment]
    first_name = None  # type: ignore[assignment]
    last_name = None  # type: ignore[assignment]
    email = models.EmailField(_("email address"), unique=True)
    timezone = models.CharField(
        _("time zone"), max_length=64, blank=True, validators=[zones.validate_zone],
        help_text=_("Times are shown in it; empty: UTC."),
    )  # fmt: skip
    erased_at = models.DateTimeField(null=True, blank=True, editable=False, db_index=True)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects: ClassVar[UserManager] = UserManager()  # type: ignore[assignment]

    class Meta(AbstractUser.Meta):
        permissions = [
            ("export_person", _("Can export all data of a person")),
            ("erase_person", _("Can delete the account of a person for good")),
        ]

    @property
    def zone(self) -> ZoneInfo | None:
        """In which times are shown; None for UTC."""
        return zones.zone(self.timezone)

    def get_full_name(self) -> str:
        return self.email

    def get_short_name(self) -> str:
        return self.email


class ApiKey(models.Model):
    """A key that speaks for its user.

    Only the SHA-256 of it is kept: 256 random bits need no slow hash.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=80)
    prefix = models.CharField(max_length=12)
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("API key")

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"
