from django.urls import path

from billing_site.accounts import account_views, views

app_name = "accounts"
urlpatterns = [
    path("account/", account_views.overview, name="overview"),
    path("account/zone/", account_views.choose_zone, name="choose_zone"),
    path("account/zone/notice/", account_views.notice_zone, name="notice_zone"),
    path("account/export/", account_views.export_data, name="export"),
    path("account/delete/", account_views.delete_account, name="delete"),
    path("api-keys/", views.api_keys, name="api_keys"),
    path("api-keys/<int:pk>/revoke/", views.revoke_api_key, name="api_key_revoke"),
]
