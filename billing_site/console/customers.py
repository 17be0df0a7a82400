"""The customer page of credits knows nothing of generations and API keys: they are added here."""

from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing_site.accounts.services import users_of_key
from credits.models import Account
from credits.money import credits_words
from credits.staff.search import ACCOUNT_FINDERS, uuid_in
from credits.staff.timeline import SOURCES, Source, Told
from generation import failures
from generation.models import Generation


def _by_generation(term: str) -> Iterable[int]:
    """A generation's id, also as the books write it: generation:<id>."""
    wanted = uuid_in(term)
    if wanted is None:
        return []
    return Generation.objects.filter(pk=wanted).values_list("account_id", flat=True)


def _by_api_key(term: str) -> Iterable[int]:
    owners = users_of_key(term)
    return Account.objects.filter(user_id__in=owners).values_list("pk", flat=True)


def _rows(account_id: int) -> QuerySet[Any]:
    """Without prompts and outputs: they are the customer's."""
    return Generation.objects.filter(account_id=account_id).defer("prompt", "output")


def _tell(generation: Generation) -> Told:
    price = credits_words(generation.cost) if generation.cost else _("a single generation")
    words = _("A %(what)s for %(price)s (%(id)s): %(status)s") % {
        "what": generation.operation,
        "price": price,
        "id": generation.pk,
        "status": generation.get_status_display().lower(),
    }
    why = failures.sentence(generation.error_code) if generation.error_code else ""
    return Told(f"{words}. {why}" if why else words)


ACCOUNT_FINDERS += [_by_generation, _by_api_key]
SOURCES.insert(1, Source("generations", gettext_lazy("Generations"), _rows, _tell, at="created_at"))
