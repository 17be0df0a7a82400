"""The tables of the site itself: requests that were made, and permissions that were given."""

from django.db import models


class RequestCount(models.Model):
    """Requests that web processes have set aside for a user in one minute (throttles.py)."""

    user_id = models.BigIntegerField(primary_key=True)
    minute = models.BigIntegerField(help_text="Minutes since 1970.")
    reserved = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"user {self.user_id}: {self.reserved}"


class RoleGrant(models.Model):
    """A permission that a group was given once, by `accounts.roles`: it is never given again."""

    role = models.CharField(max_length=150)
    permission = models.CharField(max_length=200, help_text="Such as credits.view_account.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="billing_site_rolegrant_once", fields=["role", "permission"]
            )
        ]

    def __str__(self) -> str:
        return f"{self.role}: {self.permission}"
