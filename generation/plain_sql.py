"""The statements of a request that is accepted, as plain SQL for PostgreSQL, MariaDB and SQLite.

For the reason that credits/books.py gives: building them with the ORM takes most of the time.
"""

from datetime import datetime
from functools import cache

from django.db import connection

from generation.models import Generation

PRICE_SQL = """
    SELECT version, cost FROM generation_operationprice
    WHERE operation = %s ORDER BY version DESC LIMIT 1"""
BEFORE_SQL = """
    SELECT
        (SELECT COUNT(*) FROM generation_generation
         WHERE account_id = %s AND idempotency_key = %s),
        (SELECT COUNT(*) FROM generation_generation
         WHERE account_id = %s AND finished_at IS NULL)"""
RECENT_SQL = "SELECT COUNT(*) FROM generation_generation WHERE account_id = %s AND created_at > %s"
FIELDS = Generation._meta.concrete_fields


def price(operation: str) -> tuple[int, int] | None:
    """Version and cost in credits of the newest price."""
    with connection.cursor() as cursor:
        cursor.execute(PRICE_SQL, [operation])
        newest: tuple[int, int] | None = cursor.fetchone()
        return newest


def before(account_id: int, key: str | None) -> tuple[bool, int]:
    """Whether the account has a generation with this key, and how many are queued or running."""
    with connection.cursor() as cursor:
        cursor.execute(BEFORE_SQL, [account_id, key, account_id])
        repeated, open_ones = cursor.fetchone()
        return bool(repeated), open_ones


def count_since(account_id: int, since: datetime) -> int:
    """How many the account has requested after that moment."""
    with connection.cursor() as cursor:
        cursor.execute(RECENT_SQL, [account_id, connection.ops.adapt_datetimefield_value(since)])
        return int(cursor.fetchone()[0])


def insert(new: Generation) -> None:
    values = [field.get_db_prep_save(getattr(new, field.attname), connection) for field in FIELDS]
    with connection.cursor() as cursor:
        cursor.execute(_insert_sql(), values)
    new._state.adding = False


@cache
def _insert_sql() -> str:
    columns = ", ".join(connection.ops.quote_name(str(field.column)) for field in FIELDS)
    placeholders = ", ".join(["%s"] * len(FIELDS))
    return f"INSERT INTO generation_generation ({columns}) VALUES ({placeholders})"  # noqa: S608
