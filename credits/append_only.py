"""The database itself refuses to change or remove a line of the ledger or of the audit log.

PostgreSQL: row trigger for UPDATE and DELETE, statement trigger for TRUNCATE, which row triggers
do not see. MariaDB and SQLite: row triggers (TRUNCATE does not exist in SQLite, and needs the DROP
privilege in MariaDB: do not give it to the site's role).

The one way around is `remove()`, for tests that must empty tables and for nothing else.
"""

from typing import Any

LEDGER = "credits_ledgerentry"
AUDIT_LOG = "credits_staffaction"
MESSAGE = "these lines are append-only"
# What triggers are called; on MariaDB and SQLite their names belong to the whole database.
PREFIXES = {LEDGER: "credits", AUDIT_LOG: "credits_audit"}

INSTALL = {
    "postgresql": [
        f"""CREATE OR REPLACE FUNCTION credits_refuse_change() RETURNS trigger AS $$
            BEGIN RAISE EXCEPTION '{MESSAGE}'; END $$ LANGUAGE plpgsql""",
        """CREATE TRIGGER {prefix}_no_change BEFORE UPDATE OR DELETE ON {table}
            FOR EACH ROW EXECUTE FUNCTION credits_refuse_change()""",
        """CREATE TRIGGER {prefix}_no_truncate BEFORE TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION credits_refuse_change()""",
    ],
    "mysql": [
        f"""CREATE TRIGGER {{prefix}}_no_{action.lower()} BEFORE {action} ON {{table}}
            FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{MESSAGE}'"""
        for action in ("UPDATE", "DELETE")
    ],
    "sqlite": [
        f"""CREATE TRIGGER {{prefix}}_no_{action.lower()} BEFORE {action} ON {{table}}
            BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END"""
        for action in ("UPDATE", "DELETE")
    ],
}
REMOVE = {
    "postgresql": [
        "DROP TRIGGER {prefix}_no_change ON {table}",
        "DROP TRIGGER {prefix}_no_truncate ON {table}",
    ],
    "mysql": ["DROP TRIGGER {prefix}_no_update", "DROP TRIGGER {prefix}_no_delete"],
    "sqlite": ["DROP TRIGGER {prefix}_no_update", "DROP TRIGGER {prefix}_no_delete"],
}


def install(connection: Any, *tables: str) -> None:
    """Puts the triggers on these tables of `connection`'s database; on all if none is named."""
    _execute(connection, INSTALL[connection.vendor], tables)


def remove(connection: Any, *tables: str) -> None:
    """Takes the triggers away: see the module's docstring for who may."""
    _execute(connection, REMOVE[connection.vendor], tables)


def _execute(connection: Any, statements: list[str], tables: tuple[str, ...]) -> None:
    with connection.cursor() as cursor:
        for table in tables or PREFIXES:
            for statement in statements:
                cursor.execute(
                    statement.replace("{table}", table).replace("{prefix}", PREFIXES[table])
                )
