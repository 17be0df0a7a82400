from django.urls import path

from generation import api

urlpatterns = [
    path("generations", api.GenerationsView.as_view(), name="api-generations"),
    path("generations/<uuid:generation_id>", api.GenerationView.as_view(), name="api-generation"),
    path("generations/<uuid:generation_id>/cancel", api.CancelView.as_view(), name="api-cancel"),
    path(
        "generations/<uuid:generation_id>/regenerate",
        api.RegenerateView.as_view(),
        name="api-regenerate",
    ),
]
