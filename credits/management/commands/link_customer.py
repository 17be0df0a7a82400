import re
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction
from django.utils import timezone

from credits import services
from credits.management import arguments
from credits.management.base import CreditsCommand
from credits.models import InboxEvent


class Command(CreditsCommand):
    help = (
        "Ties an existing Stripe customer to an account: for customers who were there before this "
        "site, and for support. Events of that customer which waited for it are applied next."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", metavar="EMAIL", type=arguments.email_address)
        parser.add_argument("customer", metavar="cus_…")

    def handle(self, *args: Any, **options: Any) -> None:
        customer = options["customer"]
        if not re.fullmatch(r"cus_[A-Za-z0-9_]{1,250}", customer):
            raise CommandError(f"{customer!r} is not the id of a Stripe customer (cus_…).")
        now = timezone.now()
        account = arguments.account_of(options["email"], now)
        with transaction.atomic():
            services.link_customer(account_id=account.pk, customer_id=customer, now=now)
            services.record_action(
                actor=arguments.operator(),
                action="account.link",
                account_id=account.pk,
                target=customer,
                reason="",
                now=now,
            )
        waiting = InboxEvent.objects.filter(
            state=InboxEvent.State.WAITING, reason__contains=f"customer {customer}:"
        ).update(next_attempt_at=now)
        self.stdout.write(
            f"{customer} is linked to {options['email']}; "
            f"{waiting} waiting events are applied next."
        )
