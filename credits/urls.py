from django.urls import path

from credits import views

urlpatterns = [
    path("", views.dashboard, name="dashboard"),
    path("prices/", views.prices, name="pricing"),
    path("ledger/", views.ledger, name="ledger"),
]
