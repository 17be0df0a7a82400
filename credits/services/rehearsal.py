"""Finding out what would happen: the real code runs, and nothing of it stays."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction

from credits.models import LedgerEntry


@contextmanager
def rehearsal() -> Iterator[None]:
    """Undoes at its end whatever its body did to the database; also what waits for a commit."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def lines_since(account_id: int, sequence: int) -> list[LedgerEntry]:
    """The account's lines after the one with this number, with their lots, oldest first."""
    new = LedgerEntry.objects.filter(account_id=account_id, sequence__gt=sequence)
    return list(new.select_related("lot").order_by("sequence"))
