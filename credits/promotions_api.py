"""Redeeming promotional codes through the API."""

from datetime import datetime
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from credits import problems, services
from credits.models import Redemption
from credits.problems import ProblemType
from credits.requests import account_of

CODE_NOT_FOUND = ProblemType(404, "code_not_found", "There is no such code")
CODE_EXPIRED = ProblemType(410, "code_expired", "The code is no longer valid")
CODE_USED_UP = ProblemType(409, "code_used_up", "The code has been used as often as it can be")
CODE_FOR_NEW_CUSTOMERS = ProblemType(403, "code_for_new_customers", "For new customers only")
REDEMPTION_PROBLEMS: dict[type[Exception], ProblemType] = {
    services.CodeNotFound: CODE_NOT_FOUND,
    services.CodeExpired: CODE_EXPIRED,
    services.CodeUsedUp: CODE_USED_UP,
    services.CodeForNewCustomers: CODE_FOR_NEW_CUSTOMERS,
    services.TooManyAttempts: problems.RATE_LIMITED,
}


class Word(problems.StrictSerializer):
    code = problems.StrictCharField(max_length=80)


class RedemptionDocument(serializers.Serializer[Redemption]):
    code = serializers.CharField(source="code.code")
    credits = serializers.IntegerField(source="lot.granted", help_text="Promotional credits.")
    expires_at = serializers.DateTimeField(source="lot.expires_at")
    created_at = serializers.DateTimeField()


PARAMETERS = [problems.RETRY_AFTER]
ANSWERS: dict[Any, Any] = {
    200: RedemptionDocument,
    201: RedemptionDocument,
    **problems.documented(
        CODE_NOT_FOUND,
        CODE_EXPIRED,
        CODE_USED_UP,
        CODE_FOR_NEW_CUSTOMERS,
        *problems.WITH_BODY,
        *problems.EVERYWHERE,
    ),
}


class RedemptionsView(APIView):
    problems = REDEMPTION_PROBLEMS

    @extend_schema(
        operation_id="redeem",
        summary="Redeem a promotional code",
        parameters=PARAMETERS,
        request=Word,
        responses=ANSWERS,
    )
    def post(self, request: Request) -> Response:
        """Adds promotional credits, once per account: again, it answers 200 and what it gave then.

        At most 10 codes an hour that are not good.
        """
        word = Word(data=request.data)
        word.is_valid(raise_exception=True)
        now = timezone.now()
        redemption = services.redeem_code(
            account_id=account_of(request, now).pk, code=word.validated_data["code"], now=now
        )
        return Response(RedemptionDocument(redemption).data, status=_status(redemption, now))


def _status(redemption: Redemption, now: datetime) -> int:
    return 201 if redemption.created_at == now else 200
