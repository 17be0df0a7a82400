from django.urls import path

from credits import api, promotions_api

urlpatterns = [
    path("balance", api.BalanceView.as_view(), name="api-balance"),
    path("ledger", api.LedgerView.as_view(), name="api-ledger"),
    path("offers", api.OffersView.as_view(), name="api-offers"),
    path("checkout", api.CheckoutView.as_view(), name="api-checkout"),
    path("redemptions", promotions_api.RedemptionsView.as_view(), name="api-redemptions"),
]
