from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "billing_site.accounts"
    label = "accounts"

    def ready(self) -> None:
        from billing_site.accounts import signals  # noqa: F401 (connects them)
