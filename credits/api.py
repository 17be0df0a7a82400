"""The API of the money core: balance, ledger, price list."""

from datetime import UTC, datetime
from typing import Any

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

from credits import problems, queries, services
from credits.models import LedgerEntry, Offer


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
    """`amount` is in minor units of `currency`; `interval` is empty for what is bought once."""

    class Meta:
        model = Offer
        fields = ("slug", "name", "kind", "credits", "amount", "currency", "interval")


class PriceList(serializers.Serializer[Any]):
    results = OfferDocument(many=True)


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
        account_id = _account_id(request, now)
        if moment is None:
            found = queries.balance(account_id=account_id, now=now)
        else:
            found = queries.balance_at(account_id=account_id, moment=moment)
        return Response(BalanceDocument(found).data)


class LedgerView(ListAPIView[LedgerEntry]):
    serializer_class = LedgerLine

    def get_queryset(self) -> QuerySet[LedgerEntry]:
        return queries.history(account_id=_account_id(self.request, timezone.now()))

    @extend_schema(
        operation_id="ledger",
        summary="Every movement of credits",
        parameters=[problems.RETRY_AFTER],
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


@extend_schema(exclude=True)
class UnknownPathView(APIView):
    """For addresses under the API that do not exist: a problem document too, for anybody."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise NotFound


def _account_id(request: Request, now: datetime) -> int:
    user_id = request.user.pk
    assert user_id is not None, "IsAuthenticated"
    return services.open_account(user_id=user_id, now=now).pk


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
