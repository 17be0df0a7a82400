"""From a notice to a mail with a plain and an HTML part. Links lead to SITE_URL, or to Stripe."""

from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.base import BaseEmailBackend
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation

from credits.models import Notice
from credits.notices.letters import letter_of
from credits.notices.preferences import unsubscribe_token


def absolute(path: str) -> str:
    """A page of this site; whatever host a request claimed does not matter."""
    return f"{settings.SITE_URL}{path}"


def message_of(notice: Notice, connection: BaseEmailBackend) -> EmailMultiAlternatives:
    """The mail, not sent yet; its times are in the customer's zone."""
    assert notice.account is not None, "mails to staff are sent elsewhere"
    zone = notice.account.user.zone
    with translation.override(settings.LANGUAGE_CODE), timezone.override(zone):
        letter = letter_of(notice)
        unsubscribe = _unsubscribe_url(notice)
        context: dict[str, Any] = {
            "letter": letter,
            "button_url": absolute(letter.button_path),
            "unsubscribe_url": unsubscribe,
            "preferences_url": absolute(reverse("notifications")),
            "site_url": settings.SITE_URL,
        }
        message = EmailMultiAlternatives(
            subject=" ".join(letter.subject.split()),  # a line break would be a header
            body=render_to_string("mail/notice.txt", context).strip() + "\n",
            to=[notice.account.user.email],
            connection=connection,
        )
        message.attach_alternative(render_to_string("mail/notice.html", context), "text/html")
    if unsubscribe:  # https://datatracker.ietf.org/doc/html/rfc8058
        message.extra_headers = {
            "List-Unsubscribe": f"<{unsubscribe}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        }
    return message


def _unsubscribe_url(notice: Notice) -> str:
    token = unsubscribe_token(notice)
    return absolute(reverse("unsubscribe", args=[token])) if token else ""
