"""The site's addresses and `/api/v1/noop`, which authenticates and answers. Limits are lifted."""

from django.urls import path
from rest_framework.decorators import api_view
from rest_framework.response import Response

from billing_site import throttles, urls
from generation import api, services

throttles.PER_MINUTE = services.MAX_OPEN = api.NEW_PER_MINUTE = 10**9


@api_view(["POST"])
def noop(request):  # type: ignore[no-untyped-def]
    return Response({"user": request.user.pk, "fields": len(request.data)})


urlpatterns = [path("api/v1/noop", noop), *urls.urlpatterns]
