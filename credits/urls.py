from django.urls import path

from credits import (
    notice_views,
    promotions_views,
    purchase_views,
    selling_views,
    statement_views,
    subscription_views,
    views,
)

urlpatterns = [
    path("", views.dashboard, name="dashboard"),
    path("notifications/", notice_views.notifications, name="notifications"),
    path("notifications/off/<str:token>/", notice_views.unsubscribe, name="unsubscribe"),
    path("ledger/", statement_views.ledger, name="ledger"),
    path("statement/export.csv", statement_views.export_csv, name="statement-csv"),
    path("statement/export.json", statement_views.export_json, name="statement-json"),
    path("statement/print/", statement_views.printed, name="statement-print"),
    path("statement/balance/", statement_views.balance_at, name="statement-balance"),
    path("statement/verify/", statement_views.verify, name="statement-verify"),
    path("prices/", selling_views.prices, name="pricing"),
    path("prices/buy/", selling_views.buy, name="buy"),
    path("purchases/", purchase_views.purchase_list, name="purchases"),
    path("purchases/done/", selling_views.done, name="purchase-done"),
    path("purchases/progress/", selling_views.progress, name="purchase-progress"),
    path("purchases/canceled/", selling_views.canceled, name="purchase-canceled"),
    path("subscription/", subscription_views.subscription, name="subscription"),
    path("subscription/change/", subscription_views.change, name="subscription-change"),
    path("subscription/pay/", subscription_views.pay, name="subscription-pay"),
    path("subscription/cancel/", subscription_views.cancel, name="subscription-cancel"),
    path("subscription/resume/", subscription_views.resume, name="subscription-resume"),
    path("subscription/manage/", selling_views.manage, name="manage-subscription"),
    path("redeem/", promotions_views.redeem, name="redeem"),
]
