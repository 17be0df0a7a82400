from django.urls import path

from generation import views

app_name = "generation"
urlpatterns = [
    path("generations/", views.generation_list, name="list"),
    path("generations/new/", views.new, name="new"),
    path("generations/<uuid:pk>/", views.detail, name="detail"),
    path("generations/<uuid:pk>/progress/", views.progress, name="progress"),
    path("generations/<uuid:pk>/download/", views.download, name="download"),
    path("generations/<uuid:pk>/cancel/", views.cancel, name="cancel"),
    path("generations/<uuid:pk>/regenerate/", views.regenerate, name="regenerate"),
]
