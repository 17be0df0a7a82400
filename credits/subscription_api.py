"""The API of the account's plan: what it is, what a change would do, and doing it."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from credits import problems
from credits.api import (
    OFFER_NOT_FOUND,
    SELLING_UNAVAILABLE,
    OfferDocument,
    idempotency_key,
)
from credits.models import PlanClick
from credits.payments import at_stripe, checkout, plan_changes, plan_preview, plan_rules
from credits.payments.client import SellingUnavailable
from credits.payments.plan_rules import When
from credits.payments.plan_state import PlanState, plan_state
from credits.problems import ProblemType
from credits.requests import account_of

NO_SUBSCRIPTION = ProblemType(409, "no_subscription", "The account has no plan")
ALREADY_ON_PLAN = ProblemType(409, "already_on_plan", "It is the plan already")
PLAN_IS_ENDING = ProblemType(409, "plan_is_ending", "The plan is about to end")
NOT_ENDING = ProblemType(409, "plan_not_ending", "The plan is not about to end")
PAYMENT_DUE = ProblemType(409, "payment_due", "The last payment failed")
NOT_CHANGEABLE = ProblemType(409, "plan_not_changeable", "The plan cannot be changed here")
PREVIEW_OUTDATED = ProblemType(409, "preview_outdated", "The preview is no longer true")
CHANGE_UNDER_WAY = ProblemType(
    409, "change_under_way", "The plan is being changed", retry_after_seconds=2
)
PLAN_PROBLEMS: dict[type[Exception], ProblemType] = {
    at_stripe.NoSubscription: NO_SUBSCRIPTION,
    plan_rules.AlreadyOnPlan: ALREADY_ON_PLAN,
    plan_rules.PlanIsEnding: PLAN_IS_ENDING,
    plan_rules.PaymentDue: PAYMENT_DUE,
    plan_rules.NotChangeable: NOT_CHANGEABLE,
    plan_preview.PreviewOutdated: PREVIEW_OUTDATED,
    plan_rules.AlreadyEnding: PLAN_IS_ENDING,
    plan_changes.NotEnding: NOT_ENDING,
    plan_changes.ChangeUnderWay: CHANGE_UNDER_WAY,
    plan_changes.TooManyChanges: problems.RATE_LIMITED,
    checkout.OfferNotForSale: OFFER_NOT_FOUND,
    SellingUnavailable: SELLING_UNAVAILABLE,
}
ENDING = (NO_SUBSCRIPTION, CHANGE_UNDER_WAY, SELLING_UNAVAILABLE)
CHANGING = (
    *ENDING, OFFER_NOT_FOUND, ALREADY_ON_PLAN, PLAN_IS_ENDING, PAYMENT_DUE, NOT_CHANGEABLE,
    PREVIEW_OUTDATED,
)  # fmt: skip


class NextPlanDocument(serializers.Serializer[Any]):
    """The plan of the next period, if it is another one."""

    offer = OfferDocument()
    at = serializers.DateTimeField()


class WaitingDocument(serializers.Serializer[Any]):
    """A change whose payment the customer has to confirm, at `url`, until `until`."""

    offer = OfferDocument()
    url = serializers.CharField()
    until = serializers.DateTimeField()


class SubscriptionDocument(serializers.Serializer[Any]):
    """`status` is Stripe's, or `none`; `confirming`: a change is done and not shown here yet."""

    status = serializers.CharField()
    offer = OfferDocument(allow_null=True)
    period_end = serializers.DateTimeField(allow_null=True)
    cancel_at_period_end = serializers.BooleanField()
    next = NextPlanDocument(allow_null=True)
    payment_required = WaitingDocument(allow_null=True)
    confirming = serializers.BooleanField()


class Change(problems.StrictSerializer):
    """The plan that is wanted; the present one withdraws what is planned instead of it."""

    offer = problems.StrictCharField(max_length=50, help_text="The `slug` of a plan.")


class ConfirmedChange(Change):
    preview = problems.StrictCharField(
        max_length=500,
        default="",
        help_text="The `preview` of a preview: the change is made as it said, or not at all.",
    )


class Nothing(problems.StrictSerializer):
    """An empty object."""


class RenewalDocument(serializers.Serializer[plan_preview.Renewal]):
    """`amount` in minor units, before discounts and taxes."""

    at = serializers.DateTimeField()
    amount = serializers.IntegerField()
    credits = serializers.IntegerField()
    rollover_cap = serializers.IntegerField()


class PreviewDocument(serializers.Serializer[plan_preview.ChangePreview]):
    """What is paid and added now, and at the next renewal."""

    when = serializers.ChoiceField([str(when) for when in When])
    takes_effect_at = serializers.DateTimeField(allow_null=True, help_text="Null: at once.")
    due_now = serializers.IntegerField(help_text="Minor units of `currency`.")
    currency = serializers.CharField()
    credits_now = serializers.IntegerField()
    renewal = RenewalDocument()
    preview = serializers.CharField(source="token", help_text="Good for an hour.")


class StaysDocument(serializers.Serializer[plan_preview.EndPreview]):
    """What the end of a plan does not touch: gifts until their own end, the rest for ever."""

    promotional = serializers.IntegerField()
    bulk = serializers.IntegerField()
    retail_tokens = serializers.IntegerField()


class EndDocument(serializers.Serializer[plan_preview.EndPreview]):
    """What ends with the plan, when, and what stays. Nothing more is charged."""

    when = serializers.ChoiceField([str(When.NOW), str(When.AT_PERIOD_END)])
    takes_effect_at = serializers.DateTimeField(
        source="ends_at",
        allow_null=True,
        help_text="Until then the plan's credits can be spent, and it can be resumed. "
        "Null: at once.",
    )
    offer = OfferDocument(source="plan", allow_null=True)
    credits_that_end = serializers.IntegerField(help_text="What is left of the plan's now.")
    stays = StaysDocument(source="*")


class OutcomeDocument(serializers.Serializer[PlanClick]):
    """What was reached. `pay_url` is where the customer confirms `payment_required`."""

    outcome = serializers.ChoiceField([value for value in PlanClick.Outcome.values if value])
    pay_url = serializers.CharField(allow_blank=True)


KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[ -~]+$"},
    OpenApiParameter.HEADER,
    description="Repeat the request with the same key and it is carried out once. Optional.",
)


def _answers(document: Any, *kinds: ProblemType, body: bool = True) -> dict[Any, Any]:
    more = (*problems.WITH_BODY, problems.IDEMPOTENCY_CONFLICT) if body else ()
    return {200: document, **problems.documented(*kinds, *more, *problems.EVERYWHERE)}


class PlanView(APIView):
    """For requests that may be refused in the words of a plan's rules."""

    problems = PLAN_PROBLEMS


class SubscriptionView(APIView):
    @extend_schema(
        operation_id="subscription",
        summary="The account's plan",
        parameters=[problems.RETRY_AFTER],
        responses=_answers(SubscriptionDocument, body=False),
    )
    def get(self, request: Request) -> Response:
        """As far as Stripe's events have told."""
        now = timezone.now()
        state = plan_state(account_id=account_of(request, now).pk, now=now)
        return Response(SubscriptionDocument(_document(state)).data)


def _document(state: PlanState | None) -> dict[str, Any]:
    if state is None:
        nothing = dict.fromkeys(("offer", "period_end", "next", "payment_required"))
        return {**nothing, "status": "none", "cancel_at_period_end": False, "confirming": False}
    subscription = state.subscription
    return {
        "status": subscription.status,
        "offer": state.plan,
        "period_end": subscription.period_end,
        "cancel_at_period_end": state.is_ending,
        "next": state.next_plan and {"offer": state.next_plan, "at": state.next_at},
        "payment_required": state.waiting_plan
        and {
            "offer": state.waiting_plan,
            "url": state.pay_url,
            "until": subscription.pending_until,
        },
        "confirming": state.is_confirming,
    }


class PreviewView(PlanView):
    @extend_schema(
        operation_id="preview_subscription",
        summary="What a change of plan would do",
        parameters=[problems.RETRY_AFTER],
        request=Change,
        responses=_answers(PreviewDocument, *CHANGING),
    )
    def post(self, request: Request) -> Response:
        """Changes nothing. Send its `preview` with the change to get exactly this."""
        wanted = Change(data=request.data)
        wanted.is_valid(raise_exception=True)
        found = plan_preview.preview_change(
            account_id=account_of(request, timezone.now()).pk,
            offer_slug=wanted.validated_data["offer"],
        )
        return Response(PreviewDocument(found).data)


class ChangeView(PlanView):
    @extend_schema(
        operation_id="change_subscription",
        summary="Change the plan",
        parameters=[KEY, problems.RETRY_AFTER],
        request=ConfirmedChange,
        responses=_answers(OutcomeDocument, *CHANGING, problems.ACCOUNT_FROZEN),
    )
    def post(self, request: Request) -> Response:
        """A plan that costs more comes at once, any other when the paid period ends.

        Credits come with the event of the payment. At most 20 changes an hour per account.
        """
        key = idempotency_key(request)
        wanted = ConfirmedChange(data=request.data)
        wanted.is_valid(raise_exception=True)
        now = timezone.now()
        click = plan_changes.change(
            account_id=account_of(request, now).pk,
            offer_slug=wanted.validated_data["offer"],
            preview=wanted.validated_data["preview"],
            click_key=f"api:{key}",
            now=now,
        )
        return Response(OutcomeDocument(click).data)


class CancelPreviewView(PlanView):
    @extend_schema(
        operation_id="preview_cancel_subscription",
        summary="What the end of the plan would do",
        parameters=[problems.RETRY_AFTER],
        request=Nothing,
        responses=_answers(EndDocument, NO_SUBSCRIPTION, PLAN_IS_ENDING, SELLING_UNAVAILABLE),
    )
    def post(self, request: Request) -> Response:
        """Changes nothing."""
        Nothing(data=request.data).is_valid(raise_exception=True)
        now = timezone.now()
        found = plan_preview.preview_cancel(account_id=account_of(request, now).pk, now=now)
        return Response(EndDocument(found).data)


class CancelView(PlanView):
    @extend_schema(
        operation_id="cancel_subscription",
        summary="End the plan with its period",
        parameters=[KEY, problems.RETRY_AFTER],
        request=Nothing,
        responses=_answers(OutcomeDocument, *ENDING, PLAN_IS_ENDING),
    )
    def post(self, request: Request) -> Response:
        """At once if the running period has not been paid. Packs and gifts stay."""
        return _clicked(request, plan_changes.cancel)


class ResumeView(PlanView):
    @extend_schema(
        operation_id="resume_subscription",
        summary="Take the end of the plan back",
        parameters=[KEY, problems.RETRY_AFTER],
        request=Nothing,
        responses=_answers(OutcomeDocument, *ENDING, NOT_ENDING, problems.ACCOUNT_FROZEN),
    )
    def post(self, request: Request) -> Response:
        """As long as it has not ended."""
        return _clicked(request, plan_changes.resume)


def _clicked(request: Request, act: Any) -> Response:
    key = idempotency_key(request)
    Nothing(data=request.data).is_valid(raise_exception=True)
    now = timezone.now()
    click = act(account_id=account_of(request, now).pk, click_key=f"api:{key}", now=now)
    return Response(OutcomeDocument(click).data)
