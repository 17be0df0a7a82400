"""dj-stripe's own admin pages, without what is broken in version 2.11.

Many columns became properties over the stored JSON. Searching by one of those ends in an error, and
the page of an invoice needs fields that current API versions no longer send.
"""

from django.contrib import admin
from djstripe.models import Account, Customer, Invoice, PromotionCode, Session

admin.site.unregister(Invoice)
for model in (Account, Customer, PromotionCode, Session):
    type(admin.site.get_model_admin(model)).search_fields = ()  # the Stripe id is still searched
