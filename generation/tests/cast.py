"""What the tests of generations say again and again."""

from datetime import datetime, timedelta

from credits import queries as credit_queries
from credits import services as credits
from credits.models import Account, Pool, RetailToken
from generation import services
from generation.models import Generation

LATER = timedelta(minutes=3)


def give(account: Account, now: datetime, amount: int = 10) -> None:
    credits.grant(
        account_id=account.pk,
        pool=Pool.BULK,
        amount=amount,
        source_key=f"gift:{account.pk}",
        now=now,
    )


def give_token(account: Account, now: datetime) -> RetailToken:
    return credits.issue_retail_token(
        account_id=account.pk, source_key=f"checkout:{account.pk}", now=now
    )


def request(
    account: Account, now: datetime, *, funding: str = "credits", **fields: object
) -> Generation:
    generation, _replayed = services.request_generation(
        **{
            "account_id": account.pk,
            "prompt": "Tell me a story.",
            "funding": Generation.Funding(funding),
            "operation": "text",
            "now": now,
            **fields,
        }
    )
    return generation


def start(account: Account, now: datetime, **fields: object) -> Generation:
    """A generation that a worker has claimed."""
    claimed = services.claim(now=now, generation_id=request(account, now, **fields).pk)
    assert claimed is not None
    return claimed


def finish(claimed: Generation, now: datetime, output: str = "A story.") -> None:
    services.succeed(
        claimed=claimed, output=output, model="m", input_tokens=3, output_tokens=5, now=now
    )


def available(account: Account, now: datetime) -> int:
    return credit_queries.balance(account_id=account.pk, now=now).available


def tokens(account: Account, now: datetime) -> int:
    return credit_queries.balance(account_id=account.pk, now=now).retail_tokens
