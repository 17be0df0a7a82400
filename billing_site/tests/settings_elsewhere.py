"""The site on an embedded PostgreSQL of its own, which a test may kill."""

import os
from pathlib import Path

from billing_site.settings import *  # noqa: F403
from billing_site.settings import DATABASES

DATABASES["default"]["DIRECTORY"] = Path(os.environ["ELSEWHERE"])
VAR_DIR = DATABASES["default"]["DIRECTORY"].parent
