from django.urls import path

from credits import api

urlpatterns = [
    path("balance", api.BalanceView.as_view(), name="api-balance"),
    path("ledger", api.LedgerView.as_view(), name="api-ledger"),
    path("offers", api.OffersView.as_view(), name="api-offers"),
    path("checkout", api.CheckoutView.as_view(), name="api-checkout"),
]
