"""A demo customer's last weeks for the screenshots, written through the services."""

import json
from datetime import datetime, timedelta

from billing_site.sandbox import demo
from credits import drafts, services
from credits.models import InboxEvent, Offer, Payment, Pool, Subscription
from credits.pricing import Listed
from generation import services as generations
from generation.models import Generation

SUBSCRIPTION = "sub_1RrF2uKq"
MODEL = "SmolLM2-135M-Instruct"
NEXT_PROMPT = (
    "A friendly reminder to members whose annual pass ends this month: what renewing costs, "
    "and that their locker is kept until the 15th."
)
TEXTS = [  # days ago, what was asked for, what came of it (None: it failed)
    (
        47,
        "Two sentences for the shelf label of a dark rye bread.",
        "A dense loaf of whole rye, baked overnight and left to rest for a day. It keeps for a "
        "week and is at its best on the third day, with salted butter.",
    ),
    (
        41,
        "Answer a customer who asks whether we deliver on Saturdays.",
        "Yes, we deliver on Saturdays between 8 and 12. Order by Thursday evening and choose "
        "Saturday at the checkout; there is no extra charge.",
    ),
    (33, "A job advert for a night baker, at most 80 words.", None),
    (
        29,
        "A job advert for a night baker, at most 80 words.",
        "We bake while the town sleeps. From ten until six you shape, prove and bake with two "
        "colleagues who know every oven by name. You bring a steady hand and your own opinion on "
        "salt; we bring a fair wage, Sundays off and more bread than you can eat.",
    ),
    (
        12,
        "Subject lines for the spring newsletter, five of them.",
        "1. The ovens are on again\n2. Spring tastes of rhubarb\n3. Three new loaves, one old "
        "friend\n4. What we bake when it gets light early\n5. Your Saturday, with seeds",
    ),
    (
        0,
        "Explain sourdough to a ten-year-old.",
        "Sourdough is bread with tiny helpers. Flour and water are left in a jar, and wild yeast "
        "that lives everywhere moves in and starts to eat. It burps little bubbles, and the "
        "bubbles lift the dough. The helpers need time, so the baker goes to bed and lets them "
        "work. In the morning the dough has grown, smells a little sour, and is ready for the "
        "oven.",
    ),
]


def make(*, now: datetime) -> None:
    """Plan, pack, gift, renewals, work done and work failed, oldest first."""
    customer = demo.make(demo.CUSTOMER)
    demo.make(demo.STAFF)
    days = timedelta(days=1, minutes=-11)  # not everything at the same time of day
    account_id = services.open_account(user_id=customer.pk, now=now - 62 * days).pk
    _renew(account_id, "invoice:in_1RrF2vKq", now - 62 * days)
    services.grant(
        account_id=account_id, pool=Pool.BULK, amount=50, source_key="checkout:cs_b7Qw2k",
        amount_paid=1500, currency="usd", now=now - 55 * days,
        terms={"name": "Pack 50", "credits": 50},
    )  # fmt: skip
    Payment.objects.create(payment_intent="pi_b7Qw2k", source_key="checkout:cs_b7Qw2k", amount=1500)
    services.grant(
        account_id=account_id, pool=Pool.PROMOTIONAL, amount=5, source_key="manual:welcome",
        expires_at=now - 20 * days, actor="staff@example.com", note="Welcome", now=now - 50 * days,
    )  # fmt: skip
    _generate(account_id, now, older_than=31)
    _renew(account_id, "invoice:in_1S2j9cKq", now - 31 * days)
    _generate(account_id, now, older_than=20, newer_than=31)
    services.expire_due(now=now - 20 * days)
    _generate(account_id, now, older_than=10, newer_than=20)
    services.grant(
        account_id=account_id, pool=Pool.PROMOTIONAL, amount=10, source_key="manual:outage",
        expires_at=now + 23 * days, actor="staff@example.com", note="For the outage",
        now=now - 7 * days,
    )  # fmt: skip
    services.issue_retail_token(
        account_id=account_id, source_key="checkout:cs_c41TnM:1", amount_paid=90, currency="usd",
        now=now - 6 * days,
    )  # fmt: skip
    _generate(account_id, now, older_than=2, newer_than=10)
    _renew(account_id, "invoice:in_1SDs0xKq", now - 1 * days)
    Subscription.objects.create(
        account_id=account_id, subscription_id=SUBSCRIPTION, status="active",
        price_id=Offer.objects.get(slug="starter").stripe_price_id, as_of=now - 1 * days,
        period_end=now - 1 * days + timedelta(days=30),
    )  # fmt: skip
    _generate(account_id, now, older_than=0, newer_than=2)


def refund_part(*, now: datetime) -> InboxEvent:
    """Stripe's event about $6.00 of the pack of $15.00, which no worker has applied yet."""
    refund = {
        "id": "re_1SDw7rKq", "object": "refund", "payment_intent": "pi_b7Qw2k", "amount": 600,
        "currency": "usd", "status": "succeeded", "created": int(now.timestamp()),
    }  # fmt: skip
    return InboxEvent.objects.create(
        event_id="evt_1SDw7rKq", type="refund.created", object_id="re_1SDw7rKq",
        body=json.dumps({"id": "evt_1SDw7rKq", "data": {"object": refund}}),
        created_at=now, received_at=now, next_attempt_at=now,
    )  # fmt: skip


def draft_plan(*, now: datetime) -> Offer:
    """A plan that nobody sees yet."""
    terms = Listed("team", "Team", "plan", 4900, "usd", credits=150, interval="month")
    return drafts.save_draft(terms, actor="staff:staff@example.com", now=now)


def _renew(account_id: int, source_key: str, now: datetime) -> None:
    services.reset_subscription(
        account_id=account_id, amount=20, period_end=now + timedelta(days=30),
        source_key=source_key, amount_paid=900, currency="usd", now=now,
        terms={
            "name": "Starter",
            "subscription": SUBSCRIPTION,
            "period_start": now.isoformat(),
            "period_end": (now + timedelta(days=30)).isoformat(),
        },
    )  # fmt: skip
    payment = source_key.replace("invoice:in_", "pi_")
    Payment.objects.create(payment_intent=payment, source_key=source_key, amount=900)


def _generate(account_id: int, now: datetime, *, older_than: int, newer_than: int = 999) -> None:
    for days, prompt, output in TEXTS:
        if older_than <= days < newer_than:
            _finish(account_id, prompt, output, now - timedelta(days=days, minutes=3 + days * 7))


def _finish(account_id: int, prompt: str, output: str | None, at: datetime) -> None:
    new, _ = generations.request_generation(
        account_id=account_id, prompt=prompt, funding=Generation.Funding.CREDITS,
        operation="text", now=at,
    )  # fmt: skip
    claimed = generations.claim(now=at, generation_id=new.pk)
    assert claimed is not None
    done_at = at + timedelta(seconds=6)
    if output is None:
        generations.fail(claimed=claimed, code="backend_unavailable", permanent=True, now=done_at)
        return
    generations.succeed(
        claimed=claimed, output=output, model=MODEL, input_tokens=len(prompt) // 4,
        output_tokens=len(output) // 4, now=done_at,
    )  # fmt: skip
