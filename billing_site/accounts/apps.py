from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "billing_site.accounts"
    label = "accounts"
