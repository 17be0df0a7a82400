"""The WSGI application: `granian --interface wsgi billing_site.wsgi:application`."""

import os

from django.core.management import call_command
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_site.settings")

application = get_wsgi_application()
call_command("check")  # a wrong setting stops the start here as it does in manage.py
