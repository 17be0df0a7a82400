"""Mails in the terminal, for trying out: their text only, the HTML is for mail programs."""

import copy
from typing import Any

from django.core.mail.backends import console


class EmailBackend(console.EmailBackend):
    """Django's, without the HTML."""

    def write_message(self, message: Any) -> None:
        plain = copy.copy(message)
        plain.alternatives = []
        super().write_message(plain)
