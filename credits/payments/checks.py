"""System checks of dj-stripe that are not run here.

They read its table of webhook endpoints, which this site does not use, whenever a command or a web
process starts: `manage.py check` would need a database, and would start the embedded one.
"""

from django.core.checks.registry import registry
from djstripe import checks

registry.registered_checks -= {
    checks.check_webhook_validation,
    checks.check_webhook_endpoint_has_secret,
}
