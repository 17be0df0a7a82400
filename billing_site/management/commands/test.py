import subprocess
import sys

from django.conf import settings
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "The whole test suite. Arguments go to pytest: `manage.py test credits -k race`."

    def run_from_argv(self, argv: list[str]) -> None:
        """Runs pytest; its exit status is ours."""
        command = [sys.executable, "-m", "pytest", *argv[2:]]
        sys.exit(subprocess.run(command, cwd=settings.BASE_DIR, check=False).returncode)
