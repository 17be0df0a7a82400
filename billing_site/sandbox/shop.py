"""This process's site with a shop: the sandbox plays Stripe, and its events come back."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.test import override_settings

from billing_site.sandbox.stripe import Sandbox

KEY = "sk_test_sandbox00000000000000000"  # not secret: it opens nothing but the sandbox
SECRET = "whsec_sandbox"  # noqa: S105 (signs the sandbox's events)


@contextmanager
def open_shop(address: str, state_file: Path) -> Iterator[Sandbox]:
    """Leads the site at `address` to a sandbox, and the sandbox's events to the site."""
    with Sandbox(state_file, 0, KEY, f"{address}/stripe/webhook/", SECRET) as sandbox:
        policy: Any = copy.deepcopy(settings.CONTENT_SECURITY_POLICY)
        policy["DIRECTIVES"]["form-action"].append(sandbox.address)
        with override_settings(
            SITE_URL=address,
            STRIPE_SECRET_KEY=KEY,
            STRIPE_WEBHOOK_SECRET=[SECRET],
            STRIPE_API_BASE=sandbox.address,
            CONTENT_SECURITY_POLICY=policy,
        ):
            yield sandbox
