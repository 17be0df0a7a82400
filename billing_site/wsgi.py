"""The WSGI application: `granian --interface wsgi billing_site.wsgi:application`."""

import io
import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_site.settings")

try:
    application = get_wsgi_application()
    call_command("check", stdout=io.StringIO())  # a wrong setting stops the start here too
except (ImproperlyConfigured, SystemCheckError) as error:
    sys.exit(f"The configuration is wrong: {error}")
