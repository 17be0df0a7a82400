from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from billing_site.accounts import services
from billing_site.accounts.models import User
from credits.management.arguments import operator


class Command(BaseCommand):
    help = "Makes an API key for a user and prints it; it cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--name", default="command line", help="what the key is for")

    def handle(self, *args: Any, email: str, name: str, **options: Any) -> None:
        user = User.objects.filter(email__iexact=email).first()
        if user is None:
            raise CommandError(f"There is no user {email}: check the address, or sign up first.")
        if not name.strip() or len(name) > services.MAX_NAME_CHARS or not name.isprintable():
            raise CommandError(
                f"The name must be 1 to {services.MAX_NAME_CHARS} printable characters."
            )
        try:
            key, plain = services.create_api_key(
                user=user, name=name, staff=operator(), now=timezone.now()
            )
        except services.ApiKeyError as error:
            raise CommandError(f"{error} Choose another with --name, or revoke one.") from None
        self.stdout.write(plain)
        self.stderr.write(f"Made API key {key.name!r} for {user.email}.")  # so KEY=$(…) works
