"""The API of generations: request, watch, cancel, regenerate."""

import re
from datetime import timedelta
from functools import cached_property
from uuid import UUID

from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_field,
)
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from credits import problems
from credits import services as credits
from credits.problems import ProblemType
from generation import failures, plain_sql, queries, services
from generation.models import Generation

Status = Generation.Status

NEW_PER_MINUTE = 60

UNKNOWN_OPERATION = ProblemType(
    400, "invalid_request", "The request is not valid", field="operation"
)
INVALID_PROMPT = ProblemType(400, "invalid_request", "The request is not valid", field="prompt")
RETAIL_ALREADY_GENERATED = ProblemType(
    409, "retail_already_generated", "A single generation is final"
)
NOT_FINISHED = ProblemType(409, "not_finished", "The generation has not ended yet")
NOT_CANCELABLE = ProblemType(409, "not_cancelable", "The generation has already ended")
TOO_MANY_OPEN = ProblemType(
    429, "too_many_open_generations", "Too many generations under way at once"
)
PROBLEMS: dict[type[Exception], ProblemType] = {
    services.UnknownOperation: UNKNOWN_OPERATION,
    services.InvalidPrompt: INVALID_PROMPT,
    services.RetailAlreadyGenerated: RETAIL_ALREADY_GENERATED,
    services.NotFinished: NOT_FINISHED,
    services.NotCancelable: NOT_CANCELABLE,
    services.TooManyOpenGenerations: TOO_MANY_OPEN,
    Generation.DoesNotExist: problems.NOT_FOUND,
}
PAYING = (
    problems.INSUFFICIENT_CREDITS,
    problems.ACCOUNT_FROZEN,
    problems.IDEMPOTENCY_CONFLICT,
    problems.INVALID_AMOUNT,
    TOO_MANY_OPEN,
    *problems.WITH_BODY,
    *problems.EVERYWHERE,
)

# Documents ----------------------------------------------------------------------------------------


class NewGeneration(problems.StrictSerializer):
    """What is wanted, and what pays for it. Unknown fields are refused."""

    prompt = problems.StrictCharField(max_length=services.MAX_PROMPT_CHARS, trim_whitespace=False)
    funding = serializers.ChoiceField(
        Generation.Funding.choices,
        error_messages={"invalid_choice": 'Has to be "credits" or "retail".'},
        help_text="What pays: credits, or one single generation bought before.",
    )
    operation = problems.StrictCharField(
        max_length=40, default="text", help_text="What to do; each operation has its price."
    )


class NoFields(problems.StrictSerializer):
    """A body without fields, or none at all."""


class UsageDocument(serializers.Serializer[Generation]):
    input_tokens = serializers.IntegerField(allow_null=True)
    output_tokens = serializers.IntegerField(allow_null=True)


class ErrorDocument(serializers.Serializer[Generation]):
    code = serializers.CharField(source="error_code")
    detail = serializers.SerializerMethodField()

    def get_detail(self, generation: Generation) -> str:
        why = failures.sentence(generation.error_code)
        return f"{why} {failures.GIVEN_BACK[generation.funding]}"


class GenerationDocument(serializers.Serializer[Generation]):
    """`cost` is in credits, 0 if a single generation paid. `output` grows while it runs."""

    id = serializers.UUIDField()
    status = serializers.ChoiceField(Status.choices)
    prompt = serializers.CharField()
    output = serializers.CharField()
    cost = serializers.IntegerField()
    funding = serializers.ChoiceField(Generation.Funding.choices)
    error = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    usage = UsageDocument(source="*")

    @extend_schema_field(ErrorDocument(allow_null=True))
    def get_error(self, generation: Generation) -> dict[str, str] | None:
        """Why it failed. An attempt that is to be repeated is no error."""
        if generation.status != Status.FAILED:
            return None
        return ErrorDocument(generation).data


# Views --------------------------------------------------------------------------------------------


class AccountView(APIView):
    """What the views here share: their problems, and whose generations they see."""

    problems = PROBLEMS

    @cached_property
    def account_id(self) -> int:
        user_id = self.request.user.pk
        assert user_id is not None, "IsAuthenticated"
        return credits.account_id_of_user(user_id=user_id, now=timezone.now())

    def find(self, generation_id: UUID) -> Generation:
        return queries.generation(account_id=self.account_id, generation_id=generation_id)


class NewGenerationRate(BaseThrottle):
    """At most NEW_PER_MINUTE new generations a minute per account, over all web processes.

    The generations themselves are the count: one look into an index, and nothing to keep in step.
    """

    _wait_seconds: float | None = None

    def allow_request(self, request: Request, view: APIView) -> bool:
        now = timezone.now()
        assert isinstance(view, AccountView)
        if plain_sql.count_since(view.account_id, now - timedelta(minutes=1)) < NEW_PER_MINUTE:
            return True
        latest = queries.generations(account_id=view.account_id)
        at_the_limit = latest.values_list("created_at", flat=True)[NEW_PER_MINUTE - 1]
        self._wait_seconds = 60 - (now - at_the_limit).total_seconds()
        return False

    def wait(self) -> float | None:
        return self._wait_seconds


class PayingView(AccountView):
    """Its POST makes a generation, and there is a limit on new ones."""

    def get_throttles(self) -> list[BaseThrottle]:
        ours = [NewGenerationRate()] if self.request.method == "POST" else []
        return [*super().get_throttles(), *ours]


IDEMPOTENCY = [
    OpenApiParameter(
        "Idempotency-Key",
        {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
        OpenApiParameter.HEADER,
        description=(
            "A text that you make up for each generation that you want, such as a UUID. Repeat the "
            "request with the same key and body, after a timeout or a 5xx, and you get the first "
            "answer again instead of a second generation. Remembered for 30 days, for accepted "
            "requests. Optional: without it every request is a new generation."
        ),
    ),
    OpenApiParameter(
        "Idempotency-Replayed",
        {"type": "string", "enum": ["true"]},
        OpenApiParameter.HEADER,
        response=[202],
        description="There if this is the answer to an earlier request with the same key.",
    ),
    OpenApiParameter(
        "Location",
        OpenApiTypes.URI_REF,
        OpenApiParameter.HEADER,
        response=[202],
        description="Where to watch the generation.",
    ),
    problems.RETRY_AFTER,
]
ACCEPTED_DOCUMENT = GenerationDocument()  # making one takes longer than using it
ACCEPTED = OpenApiResponse(GenerationDocument, description="Accepted, and paid.")


class GenerationsView(PayingView, ListAPIView[Generation]):
    serializer_class = GenerationDocument

    def get_queryset(self) -> QuerySet[Generation]:
        return queries.generations(account_id=self.account_id)

    @extend_schema(
        operation_id="generations",
        summary="All generations",
        parameters=[problems.RETRY_AFTER],
        responses={
            200: GenerationDocument,
            **problems.documented(problems.INVALID_REQUEST, *problems.EVERYWHERE),
        },
    )
    def get(self, request: Request) -> Response:
        """Newest first. Follow `next` for older ones."""
        return self.list(request)

    @extend_schema(
        operation_id="request_generation",
        summary="Request a generation",
        parameters=IDEMPOTENCY,
        request=NewGeneration,
        responses={
            202: ACCEPTED,
            **problems.documented(problems.NO_RETAIL_TOKEN, *PAYING),
        },
    )
    def post(self, request: Request) -> Response:
        """Takes the credits, or the single generation, and hands the prompt to a worker.

        They come back if the work fails or is canceled.
        """
        key = _idempotency_key(request)
        wanted = NewGeneration(data=request.data)
        wanted.is_valid(raise_exception=True)
        generation, replayed = services.request_generation(
            account_id=self.account_id,
            idempotency_key=key,
            now=timezone.now(),
            **wanted.validated_data,
        )
        return _accepted(generation, replayed)


class GenerationView(AccountView):
    @extend_schema(
        operation_id="generation",
        summary="One generation",
        parameters=[problems.RETRY_AFTER],
        responses={
            200: GenerationDocument,
            **problems.documented(problems.NOT_FOUND, *problems.EVERYWHERE),
        },
    )
    def get(self, request: Request, generation_id: UUID) -> Response:
        """Its `output` grows while it is running."""
        return Response(GenerationDocument(self.find(generation_id)).data)


class CancelView(AccountView):
    @extend_schema(
        operation_id="cancel_generation",
        summary="Give up a generation",
        parameters=[problems.RETRY_AFTER],
        request=None,
        responses={
            200: GenerationDocument,
            **problems.documented(
                problems.NOT_FOUND, NOT_CANCELABLE, *problems.WITH_BODY, *problems.EVERYWHERE
            ),
        },
    )
    def post(self, request: Request, generation_id: UUID) -> Response:
        """What it took goes back, and its output so far is dropped. Repeating changes nothing."""
        NoFields(data=request.data).is_valid(raise_exception=True)
        canceled = services.cancel(generation=self.find(generation_id), now=timezone.now())
        return Response(GenerationDocument(canceled).data)


class RegenerateView(PayingView):
    @extend_schema(
        operation_id="regenerate",
        summary="Generate the same prompt again",
        parameters=IDEMPOTENCY,
        request=None,
        responses={
            202: ACCEPTED,
            **problems.documented(
                problems.NOT_FOUND, RETAIL_ALREADY_GENERATED, NOT_FINISHED, *PAYING
            ),
        },
    )
    def post(self, request: Request, generation_id: UUID) -> Response:
        """A new generation, which costs credits again. The old one stays as it is."""
        key = _idempotency_key(request)
        NoFields(data=request.data).is_valid(raise_exception=True)
        generation, replayed = services.regenerate(
            generation=self.find(generation_id), idempotency_key=key, now=timezone.now()
        )
        return _accepted(generation, replayed)


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not re.fullmatch(r"[\x20-\x7e]{1,255}", key):
        message = "Has to be 1 to 255 printable ASCII characters."
        raise ValidationError({"Idempotency-Key": [message]})
    return key


def _accepted(generation: Generation, replayed: bool) -> Response:
    """The answer to a request, of what never changes: a replay is the same to the byte."""
    as_accepted = Generation(
        id=generation.pk,
        status=Status.QUEUED,
        prompt=generation.prompt,
        cost=generation.cost,
        funding=generation.funding,
        created_at=generation.created_at,
    )
    headers = {"Location": reverse("api-generation", args=[generation.pk])}
    if replayed:
        headers["Idempotency-Replayed"] = "true"
    return Response(ACCEPTED_DOCUMENT.to_representation(as_accepted), status=202, headers=headers)
