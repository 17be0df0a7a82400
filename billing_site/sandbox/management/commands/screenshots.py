from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing_site.sandbox import screenshots


class Command(BaseCommand):
    help = (
        "Takes the pictures of the documentation in Chromium, on a database that is made for it "
        "beside the configured one and dropped afterwards."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--directory", type=Path, default=settings.BASE_DIR / "docs/screenshots"
        )

    def handle(self, *args: Any, directory: Path, **options: Any) -> None:
        try:
            pictures = screenshots.take_all(directory)
        except screenshots.NoBrowser as error:
            raise CommandError(str(error)) from error
        for path in pictures:
            self.stdout.write(f"{path.stat().st_size // 1024:5} KB  {path.name}")
        self.stdout.write(f"{len(pictures)} pictures in {directory}")
