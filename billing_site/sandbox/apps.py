from django.apps import AppConfig


class SandboxConfig(AppConfig):
    name = "billing_site.sandbox"
    label = "sandbox"
