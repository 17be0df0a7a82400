"""The only table of the site itself: how many requests each user has made."""

from django.db import models


class RequestCount(models.Model):
    """Requests that web processes have set aside for a user in one minute (throttles.py)."""

    user_id = models.BigIntegerField(primary_key=True)
    minute = models.BigIntegerField(help_text="Minutes since 1970.")
    reserved = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"user {self.user_id}: {self.reserved}"
