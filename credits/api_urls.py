from django.urls import path

from credits import api, promotions_api, subscription_api

urlpatterns = [
    path("balance", api.BalanceView.as_view(), name="api-balance"),
    path("ledger", api.LedgerView.as_view(), name="api-ledger"),
    path("offers", api.OffersView.as_view(), name="api-offers"),
    path("subscription", subscription_api.SubscriptionView.as_view(), name="api-subscription"),
    path("subscription/preview", subscription_api.PreviewView.as_view(), name="api-plan-preview"),
    path("subscription/change", subscription_api.ChangeView.as_view(), name="api-plan-change"),
    path("subscription/cancel", subscription_api.CancelView.as_view(), name="api-plan-cancel"),
    path(
        "subscription/cancel/preview",
        subscription_api.CancelPreviewView.as_view(),
        name="api-plan-cancel-preview",
    ),
    path("subscription/resume", subscription_api.ResumeView.as_view(), name="api-plan-resume"),
    path("checkout", api.CheckoutView.as_view(), name="api-checkout"),
    path("redemptions", promotions_api.RedemptionsView.as_view(), name="api-redemptions"),
]
