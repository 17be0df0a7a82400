"""What views read from their request: whose account it is, strict JSON bodies, pages of a list.

Parser and pages are named in settings.REST_FRAMEWORK, so that no app has to import them.
"""

import json
import re
from datetime import datetime
from typing import Any, NoReturn

from django.core.signing import BadSignature, Signer
from django.db.models import QuerySet
from django.http import HttpRequest
from rest_framework.exceptions import ParseError, ValidationError
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param

from credits import services
from credits.models import Account


def account_of(request: HttpRequest | Request, now: datetime) -> Account:
    """The account of who is signed in, opened on first use."""
    user_id = request.user.pk
    assert user_id is not None, "login_required or IsAuthenticated"
    return services.open_account(user_id=user_id, now=now)


class StrictJSONParser(JSONParser):
    """A JSON object in UTF-8, whose meaning is the same for every reader.

    Refused: NaN and infinities, a key that comes twice, nesting that exhausts the stack. Its base
    has the body's size checked before it is read (DATA_UPLOAD_MAX_MEMORY_SIZE).
    """

    def parse(
        self, stream: Any, media_type: str | None = None, parser_context: Any = None
    ) -> dict[str, Any]:
        try:
            data = json.loads(
                stream.read().decode(), object_pairs_hook=_unique, parse_constant=_refuse
            )
        except RecursionError:
            raise ParseError("The JSON is nested too deeply.") from None
        except ValueError as error:
            raise ParseError(f"This is not JSON: {error}"[:200]) from None
        if not isinstance(data, dict):
            raise ParseError("The body has to be a JSON object.")
        return data


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ParseError("A key comes twice in the same JSON object.")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ParseError(f"{constant} is not JSON.")


class CursorPages(CursorPagination):
    """Pages in the order of the view's queryset, whose cursors stay valid while rows are added.

    A cursor is signed: one that we did not make, for this list, is refused before it reaches a
    query. (The framework's own cursors are not, and garbage in them ends in a database error.)
    """

    request: Request
    page_size = 25
    max_page_size = 100
    page_size_query_param = "page_size"
    page_size_query_description = f"Results per page: 1 to {max_page_size}."

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: Any) -> tuple[str, ...]:
        return tuple(str(name) for name in queryset.query.order_by)

    def get_page_size(self, request: Request) -> int:
        text = request.query_params.get(self.page_size_query_param)
        if text is None:
            return self.page_size
        if not re.fullmatch("[0-9]{1,3}", text) or not 1 <= int(text) <= self.max_page_size:
            message = f"Has to be a whole number from 1 to {self.max_page_size}."
            raise ValidationError({self.page_size_query_param: [message]})
        return int(text)

    def decode_cursor(self, request: Request) -> Cursor | None:
        text = request.query_params.get(self.cursor_query_param)
        if text is None:
            return None
        try:
            return Cursor(*_signer(request).unsign_object(text))
        except BadSignature:
            message = "Use the `next` or `previous` address of a page as it is."
            raise ValidationError({self.cursor_query_param: [message]}) from None

    def encode_cursor(self, cursor: Cursor) -> str:
        text = _signer(self.request).sign_object(list(cursor))
        return replace_query_param(str(self.base_url), self.cursor_query_param, text)


def _signer(request: Request) -> Signer:
    return Signer(salt=f"cursor:{request.path}")
