from django.apps import AppConfig
from django.db.models.signals import post_migrate


class BillingSiteConfig(AppConfig):
    name = "billing_site"

    def ready(self) -> None:
        from billing_site import checks  # noqa: F401 (registers them)
        from billing_site.accounts.roles import fill_groups

        # For this app, the last one: the permissions of all apps before it are there by then.
        post_migrate.connect(fill_groups, sender=self)
