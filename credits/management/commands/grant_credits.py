import uuid
from argparse import ArgumentParser
from datetime import date, datetime
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction
from django.utils import timezone

from credits import queries, services
from credits.management import arguments
from credits.management.base import CreditsCommand
from credits.models import Pool
from credits.services.grants import default_promotional_expiry


class Command(CreditsCommand):
    help = (
        "Gives a customer credits by hand, with the reason and your name in the books. "
        "Promotional credits end after settings.PROMOTIONAL_DAYS unless --expires says otherwise; "
        "subscription credits need --expires, because no paid period says when they end, and the "
        "next renewal ends them too; bulk credits never end."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", metavar="EMAIL", type=arguments.email_address)
        parser.add_argument("amount", metavar="AMOUNT", type=arguments.credit_amount)
        parser.add_argument("--pool", required=True, choices=Pool.values)
        parser.add_argument(
            "--reason", required=True, type=arguments.short_text, help="kept in the books"
        )
        parser.add_argument(
            "--expires",
            metavar="DATE",
            type=arguments.day,
            help="last day (YYYY-MM-DD, UTC) on which the credits can be spent",
        )
        parser.add_argument(
            "--key",
            type=arguments.short_text,
            help="name of this grant, such as a ticket number: running it again adds nothing",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        pool = Pool(options["pool"])
        expires_at = expiry(pool, options["expires"], now)
        source_key = f"manual:{options['key'] or uuid.uuid4()}"
        if len(source_key) > arguments.MOST_TEXT:
            raise CommandError("The key is too long: at most 248 characters are kept.")
        account = arguments.account_of(options["email"], now)
        before = queries.balance(account_id=account.pk, now=now)
        with transaction.atomic():
            lot = services.grant(
                account_id=account.pk,
                pool=pool,
                amount=options["amount"],
                source_key=source_key,
                expires_at=expires_at,
                actor=arguments.operator(),
                note=options["reason"],
                now=now,
            )
            if lot.created_at == now:  # else it was granted and logged before
                services.record_action(
                    actor=arguments.operator(),
                    action="credits.grant",
                    account_id=account.pk,
                    target=source_key,
                    reason=options["reason"],
                    after={"pool": pool.value, "amount": lot.granted},
                    now=now,
                )
        after = queries.balance(account_id=account.pk, now=now)
        self.stdout.write(f"before: {described(before)}")
        self.stdout.write(f"after:  {described(after)}")
        if lot.created_at != now:
            self.stdout.write(
                f"Nothing was added: {options['key']} was granted on {lot.created_at:%Y-%m-%d}."
            )
        else:
            until = f", to be spent by {expires_at:%Y-%m-%d %H:%M} UTC" if expires_at else ""
            self.stdout.write(f"{options['email']} got {lot.granted} {pool} credits{until}.")


def expiry(pool: Pool, last_day: date | None, now: datetime) -> datetime | None:
    """When credits of this pool end. Raises CommandError where the day is missing or has no use."""
    if pool == Pool.BULK:
        if last_day is not None:
            raise CommandError("Bulk credits never end: leave out --expires, or give promotional.")
        return None
    if last_day is not None:
        return arguments.end_of(last_day, now)
    if pool == Pool.SUBSCRIPTION:
        raise CommandError("Subscription credits end with a period: say with --expires when.")
    return default_promotional_expiry(now)


def described(balance: queries.Balance) -> str:
    """A balance in one line; only what is there to say of debts."""
    pools = ", ".join(f"{amount} {pool}" for pool, amount in balance.pools.items())
    owed = f", {balance.owed} owed" if balance.owed else ""
    return f"{balance.available} credits ({pools}){owed}"
