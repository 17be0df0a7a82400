from django.conf import settings
from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from billing_site import health
from billing_site.accounts.second_factor import ActivateTOTP
from credits.api import UnknownPathView
from credits.payments.intake import stripe_webhook

urlpatterns = [
    path(settings.ADMIN_PATH, admin.site.urls),
    path("accounts/2fa/totp/activate/", ActivateTOTP.as_view(), name="mfa_activate_totp"),
    path("accounts/", include("allauth.urls")),
    path("api/v1/", include("credits.api_urls")),
    path("api/v1/", include("generation.api_urls")),
    path("api/v1/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/v1/docs/", SpectacularSwaggerSplitView.as_view(), name="api-docs"),
    re_path(r"^api/", UnknownPathView.as_view()),
    path("stripe/webhook/", stripe_webhook, name="stripe-webhook"),
    path("favicon.ico", RedirectView.as_view(url=f"/{settings.STATIC_URL.strip('/')}/favicon.svg")),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("", include("billing_site.accounts.urls")),
    path("", include("credits.urls")),
    path("", include("generation.urls")),
]
