"""The API of the money core: balance, ledger, price list, checkout."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.generics import ListAPIView
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from credits import problems, queries
from credits.models import LedgerEntry, Offer, Pool
from credits.payments import checkout
from credits.payments.client import SellingUnavailable
from credits.payments.purchases import MOST_PIECES
from credits.problems import ProblemType
from credits.requests import account_of

OFFER_NOT_FOUND = ProblemType(404, "offer_not_found", "There is no such offer")
ALREADY_SUBSCRIBED = ProblemType(409, "already_subscribed", "The account has a plan already")
SELLING_UNAVAILABLE = ProblemType(503, "selling_unavailable", "Nothing can be bought now")
CHECKOUT_PROBLEMS: dict[type[Exception], ProblemType] = {
    checkout.OfferNotForSale: OFFER_NOT_FOUND,
    checkout.InvalidQuantity: replace(problems.INVALID_REQUEST, field="quantity"),
    checkout.AlreadySubscribed: ALREADY_SUBSCRIBED,
    checkout.TooManyCheckouts: problems.RATE_LIMITED,
    SellingUnavailable: SELLING_UNAVAILABLE,
}


LEDGER_FILTERS = {"pool": Pool.values, "kind": LedgerEntry.Kind.values}


class PoolsDocument(serializers.Serializer[Any]):
    subscription = serializers.IntegerField()
    promotional = serializers.IntegerField()
    bulk = serializers.IntegerField()


class ExpiryDocument(serializers.Serializer[Any]):
    amount = serializers.IntegerField()
    at = serializers.DateTimeField()


class BalanceDocument(serializers.Serializer[queries.Balance]):
    available = serializers.IntegerField()
    pools = PoolsDocument()
    retail_tokens = serializers.IntegerField()
    owed = serializers.IntegerField()
    held = serializers.IntegerField()
    next_expiry = ExpiryDocument(allow_null=True)


class LedgerLine(serializers.ModelSerializer[LedgerEntry]):
    """One line of the books: `amount` credits (signed) into or out of `pool`."""

    class Meta:
        model = LedgerEntry
        fields = (
            "sequence", "kind", "pool", "amount", "balance_after", "reference", "created_at",
        )  # fmt: skip


class OfferDocument(serializers.ModelSerializer[Offer]):
    """`amount` is in minor units of `currency`; `interval` is empty for what is bought once.

    A plan's first `trial_days` cost nothing and bring `trial_credits`, to accounts that never had
    one; 0 and 0: there is no trial.
    """

    class Meta:
        model = Offer
        fields = (
            "slug", "name", "kind", "credits", "amount", "currency", "interval",
            "trial_days", "trial_credits",
        )  # fmt: skip


class PriceList(serializers.Serializer[Any]):
    results = OfferDocument(many=True)


class StrictIntegerField(serializers.IntegerField):
    """A JSON number without a fraction, and nothing that could be made into one."""

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("invalid")
        return super().to_internal_value(data)


class Purchase(problems.StrictSerializer):
    """What is to be bought. Unknown fields are refused."""

    offer = problems.StrictCharField(max_length=50, help_text="The `slug` of an offer.")
    quantity = StrictIntegerField(
        min_value=1,
        max_value=MOST_PIECES,
        default=1,
        help_text="Of packs and single generations. Of a plan only 1.",
    )


class CheckoutDocument(serializers.Serializer[Any]):
    url = serializers.URLField(help_text="Where the customer pays. It works for 24 hours.")


class BalanceView(APIView):
    @extend_schema(
        operation_id="balance",
        summary="What the account has",
        parameters=[
            OpenApiParameter(
                "at",
                datetime,
                description="A past moment, with zone: the balance as it was then.",
            ),
            problems.RETRY_AFTER,
        ],
        responses={
            200: BalanceDocument,
            **problems.documented(problems.INVALID_REQUEST, *problems.EVERYWHERE),
        },
    )
    def get(self, request: Request) -> Response:
        """Credits that have ended do not count. `held` credits are taken for work under way."""
        now = timezone.now()
        moment = _past_moment(request, now)
        account_id = account_of(request, now).pk
        if moment is None:
            found = queries.balance(account_id=account_id, now=now)
        else:
            found = queries.balance_at(account_id=account_id, moment=moment)
        return Response(BalanceDocument(found).data)


class LedgerView(ListAPIView[LedgerEntry]):
    serializer_class = LedgerLine

    def get_queryset(self) -> QuerySet[LedgerEntry]:
        lines = queries.history(account_id=account_of(self.request, timezone.now()).pk)
        for name, choices in LEDGER_FILTERS.items():
            wanted = self.request.query_params.get(name)
            if wanted is None:
                continue
            if wanted not in choices:
                raise ValidationError({name: [f"Has to be one of: {', '.join(choices)}."]})
            lines = lines.filter(**{name: wanted})
        return lines

    @extend_schema(
        operation_id="ledger",
        summary="Every movement of credits",
        parameters=[
            *(
                OpenApiParameter(name, str, enum=choices, description="Only lines of this one.")
                for name, choices in LEDGER_FILTERS.items()
            ),
            problems.RETRY_AFTER,
        ],
        responses={
            200: LedgerLine,
            **problems.documented(problems.INVALID_REQUEST, *problems.EVERYWHERE),
        },
    )
    def get(self, request: Request) -> Response:
        """Newest line first. Follow `next` for older lines; lines added meanwhile shift nothing."""
        return self.list(request)


class OffersView(APIView):
    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(
        operation_id="offers",
        summary="The price list",
        parameters=[problems.RETRY_AFTER],
        responses={200: PriceList, **problems.documented(problems.TEMPORARILY_UNAVAILABLE)},
    )
    def get(self, request: Request) -> Response:
        """Open to all. `amount` is in minor units of `currency` (cents)."""
        return Response(PriceList({"results": queries.offers()}).data)


CHECKOUT_PARAMETERS = [
    OpenApiParameter(
        "Idempotency-Key",
        {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[ -~]+$"},
        OpenApiParameter.HEADER,
        description=(
            "A text that you make up for each purchase, such as a UUID. Repeat the request with "
            "the same key and body, after a timeout or a 5xx, and you get the address of the same "
            "page. Optional: without it every request opens a page of its own."
        ),
    ),
    problems.RETRY_AFTER,
]
CHECKOUT_ANSWERS: dict[Any, Any] = {
    201: CheckoutDocument,
    **problems.documented(
        OFFER_NOT_FOUND,
        ALREADY_SUBSCRIBED,
        SELLING_UNAVAILABLE,
        problems.ACCOUNT_FROZEN,
        problems.IDEMPOTENCY_CONFLICT,
        *problems.WITH_BODY,
        *problems.EVERYWHERE,
    ),
}


class CheckoutView(APIView):
    problems = CHECKOUT_PROBLEMS

    @extend_schema(
        operation_id="checkout",
        summary="Buy an offer",
        parameters=CHECKOUT_PARAMETERS,
        request=Purchase,
        responses=CHECKOUT_ANSWERS,
    )
    def post(self, request: Request) -> Response:
        """Opens a hosted Checkout page. Nothing is granted until the payment has arrived.

        At most 10 new pages an hour per account. Who has a plan changes it in the customer portal.
        """
        key = idempotency_key(request)
        wanted = Purchase(data=request.data)
        wanted.is_valid(raise_exception=True)
        now = timezone.now()
        url = checkout.start(
            account_id=account_of(request, now).pk,
            offer_slug=wanted.validated_data["offer"],
            quantity=wanted.validated_data["quantity"],
            click_key=f"api:{key}",
            now=now,
        )
        return Response(CheckoutDocument({"url": url}).data, status=201)


@extend_schema(exclude=True)
class UnknownPathView(APIView):
    """For addresses under the API that do not exist: a problem document too, for anybody."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise NotFound


def idempotency_key(request: Request) -> str:
    """The header, or a new key: a request without one is a purchase of its own."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return str(uuid4())
    if not re.fullmatch(r"[\x20-\x7e]{1,200}", key):
        message = "Has to be 1 to 200 printable ASCII characters."
        raise ValidationError({"Idempotency-Key": [message]})
    return key


def _past_moment(request: Request, now: datetime) -> datetime | None:
    """The moment in `?at=`, None without one."""
    text = request.query_params.get("at")
    if text is None:
        return None
    try:
        moment = parse_datetime(text) if text.isprintable() else None  # it overlooks a NUL
        if moment is None or moment.tzinfo is None:
            raise ValueError
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        message = "Has to be a moment with its zone: 2026-03-10T12:00:00Z or …%2B01:00."
        raise ValidationError({"at": [message]}) from None
    if moment > now:
        raise ValidationError({"at": ["Has to be in the past."]})
    return moment
