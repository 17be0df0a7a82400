"""All data of one person as one JSON file, written piece by piece: an account can be large."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.core.serializers.json import DjangoJSONEncoder

from billing_site.accounts.models import ApiKey, User
from credits import exports
from credits import services as credits
from credits.exports import Row, rows
from generation import queries as generation

SECRETS_OF_KEYS = ("user_id", "digest")
SECRETS_OF_FACTORS = ("user_id", "data")
OURS = ("account_id", "request_hash", "idempotency_key", "lease_until", "run_at")


def pieces(*, user: User, now: datetime) -> Iterator[str]:
    """The file: an object with a list for every kind of data, without passwords and hashes."""
    yield f'{{"made_at": {_json(now)}'
    for name, found in _sections(user, now):
        yield f',\n"{name}": ['
        for number, row in enumerate(found):
            yield (",\n" if number else "\n") + _json(row)
        yield "]"
    yield "}\n"


def _sections(user: User, now: datetime) -> Iterator[tuple[str, Iterator[Row]]]:
    """A table that is about people belongs here."""
    account = credits.open_account(user_id=user.pk, now=now)
    profile = User.objects.filter(pk=user.pk)
    yield "profile", rows(profile, "password", "is_superuser", "is_staff", "erased_at")
    yield "email_addresses", rows(EmailAddress.objects.filter(user=user), "user_id")
    yield "second_factors", rows(Authenticator.objects.filter(user=user), *SECRETS_OF_FACTORS)
    yield "api_keys", rows(ApiKey.objects.filter(user=user), *SECRETS_OF_KEYS)
    yield from exports.sections(account_id=account.pk)
    yield "generations", rows(generation.generations(account_id=account.pk), *OURS)


def _json(value: Any) -> str:
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False)
