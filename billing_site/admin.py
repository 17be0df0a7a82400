"""What the site adds to the customer page of credits: people's keys, and generations."""

from billing_site.console import customers  # noqa: F401 (adds them)
