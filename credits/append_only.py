"""The database itself refuses to change or remove a ledger line.

PostgreSQL: row trigger for UPDATE and DELETE, statement trigger for TRUNCATE, which row triggers
do not see. MariaDB and SQLite: row triggers (TRUNCATE does not exist in SQLite, and needs the DROP
privilege in MariaDB: do not give it to the site's role).

The one way around is `remove()`, for tests that must empty tables and for nothing else.
"""

from typing import Any

TABLE = "credits_ledgerentry"
MESSAGE = "ledger entries are append-only"

INSTALL = {
    "postgresql": [
        f"""CREATE OR REPLACE FUNCTION credits_refuse_change() RETURNS trigger AS $$
            BEGIN RAISE EXCEPTION '{MESSAGE}'; END $$ LANGUAGE plpgsql""",
        f"""CREATE TRIGGER credits_no_change BEFORE UPDATE OR DELETE ON {TABLE}
            FOR EACH ROW EXECUTE FUNCTION credits_refuse_change()""",
        f"""CREATE TRIGGER credits_no_truncate BEFORE TRUNCATE ON {TABLE}
            FOR EACH STATEMENT EXECUTE FUNCTION credits_refuse_change()""",
    ],
    "mysql": [
        f"""CREATE TRIGGER credits_no_{action.lower()} BEFORE {action} ON {TABLE}
            FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{MESSAGE}'"""
        for action in ("UPDATE", "DELETE")
    ],
    "sqlite": [
        f"""CREATE TRIGGER credits_no_{action.lower()} BEFORE {action} ON {TABLE}
            BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END"""
        for action in ("UPDATE", "DELETE")
    ],
}
REMOVE = {
    "postgresql": [
        f"DROP TRIGGER credits_no_change ON {TABLE}",
        f"DROP TRIGGER credits_no_truncate ON {TABLE}",
    ],
    "mysql": ["DROP TRIGGER credits_no_update", "DROP TRIGGER credits_no_delete"],
    "sqlite": ["DROP TRIGGER credits_no_update", "DROP TRIGGER credits_no_delete"],
}


def install(connection: Any) -> None:
    """Puts the triggers on the ledger of `connection`'s database."""
    _execute(connection, INSTALL[connection.vendor])


def remove(connection: Any) -> None:
    """Takes the triggers away: see the module's docstring for who may."""
    _execute(connection, REMOVE[connection.vendor])


def _execute(connection: Any, statements: list[str]) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
