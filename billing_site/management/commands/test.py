import subprocess
import sys

from django.conf import settings
from django.core.management.base import BaseCommand

# A process for each core, up to four, each with a database of its own; files stay together, and are
# given out in conftest.py's order: xdist's own is by their number of tests.
SIDE_BY_SIDE = ["-n", "auto", "--maxprocesses", "4", "--dist", "loadfile", "--no-loadscope-reorder"]


class Command(BaseCommand):
    help = "The whole test suite. Arguments go to pytest: `manage.py test credits -k race`."

    def run_from_argv(self, argv: list[str]) -> None:
        """Runs pytest; its exit status is ours."""
        command = [sys.executable, "-m", "pytest", *SIDE_BY_SIDE, *argv[2:]]
        sys.exit(subprocess.run(command, cwd=settings.BASE_DIR, check=False).returncode)
