"""The site as benchmarks/http.py serves it: its own database and addresses."""

import os

from billing_site.settings import *  # noqa: F403
from billing_site.settings import DATABASES

DATABASES["default"]["NAME"] = os.environ["BENCHMARK_DATABASE"]
ROOT_URLCONF = "benchmarks.http_urls"
