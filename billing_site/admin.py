"""What the site adds to the pages of credits: people's keys, generations, and who has left."""

from billing_site.console import customers, late_payments  # noqa: F401 (adds them)
