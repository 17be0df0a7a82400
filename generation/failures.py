"""Why a generation failed, as its customer reads it: on the pages and in the API."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from generation.models import Generation

OUR_FAULT = _("The model failed. This is a fault on our side.")
SENTENCES: dict[str, Promise] = {
    "backend_error": OUR_FAULT,
    "backend_misconfigured": _("The model cannot be used at the moment."),
    "backend_unavailable": _("The model cannot be reached."),
    "deadline_exceeded": _("The model did not finish in time."),
    "empty_output": _("The model answered with an empty text."),
    "invalid_response": _("The model's answer could not be read."),
    "output_interrupted": _("The model's answer broke off before its end."),
    "prompt_too_long": _("The text is too long for the model: shorten it."),
    "queue_timeout": _("No worker was free for an hour."),
    "rate_limited": _("The model takes no more requests for the moment."),
    "refused": _("The model's content filter refused this text: change it."),
    "worker_lost": _("The machine that worked on it stopped."),
}
OF_THE_TEXT = ("prompt_too_long", "refused")  # its customer's doing; all others are ours
GIVEN_BACK: dict[str, Promise] = {
    Generation.Funding.CREDITS: _("The credits were given back."),
    Generation.Funding.RETAIL: _("The single generation was given back."),
}


def sentence(error_code: str) -> Promise:
    return SENTENCES.get(error_code, OUR_FAULT)
