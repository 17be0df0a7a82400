"""What a load balancer asks: is the process up, and can it do its work?"""

from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from generation import queries

DATABASE = "The database cannot be reached."
MIGRATIONS = "Migrations are to be applied: run `manage.py migrate`."
WORKER = "No worker has reported in the last minute: run `manage.py worker`."

_found_migrated = False  # a process runs one version of the code: once migrated for it, it stays so


@require_safe
@never_cache
def healthz(request: HttpRequest) -> JsonResponse:
    """The process is up. Asks nothing of the database, so that its failure restarts no process."""
    return JsonResponse({"status": "ok"})


@require_safe
@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """200 if customers can be served, else 503 and what is missing."""
    try:
        missing = _missing()
    except (DatabaseError, InterfaceError):
        missing = {"database": DATABASE}
    if missing:
        return JsonResponse({"status": "unavailable", "missing": missing}, status=503)
    return JsonResponse({"status": "ready"})


def _missing() -> dict[str, str]:
    if not _is_migrated():
        return {"migrations": MIGRATIONS}
    if not queries.workers_alive(now=timezone.now()):
        return {"worker": WORKER}
    return {}


def _is_migrated() -> bool:
    global _found_migrated
    if not _found_migrated:
        executor = MigrationExecutor(connection)
        _found_migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    return _found_migrated
