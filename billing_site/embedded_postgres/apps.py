"""App registration; it makes `manage.py embedded_postgres` available."""

from django.apps import AppConfig


class EmbeddedPostgresConfig(AppConfig):
    name = "billing_site.embedded_postgres"
    label = "embedded_postgres"
    verbose_name = "Embedded PostgreSQL"
