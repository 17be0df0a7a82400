"""Reading the environment strictly: a value that cannot be understood stops the start."""

from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

TRUE = {"1", "true", "yes", "on"}
FALSE = {"", "0", "false", "no", "off"}
DATABASES = {"postgres", "postgresql", "pgsql", "mysql", "sqlite"}


def read_bool(env: environ.Env, name: str, *, default: bool) -> bool:
    """A switch. Raises ImproperlyConfigured unless it is spelt like one."""
    value = env.str(name, default=str(default)).strip().lower()
    if value in TRUE | FALSE:
        return value in TRUE
    raise ImproperlyConfigured(f"{name} is {value!r}: use true or false.")


def read_database(env: environ.Env, url: str) -> dict[str, Any]:
    """A DATABASES entry from a URL. Raises ImproperlyConfigured with what is accepted."""
    scheme = url.partition(":")[0]
    if scheme not in DATABASES or "://" not in url:
        raise ImproperlyConfigured(
            "DATABASE_URL must look like postgres://user:password@host:5432/name, "
            "mysql://user:password@host:3306/name or sqlite:///path/to/file."
        )
    config: dict[str, Any] = env.db_url_config(url)
    if scheme == "sqlite" and config["NAME"] in {"", ":memory:"}:
        raise ImproperlyConfigured(
            "DATABASE_URL: SQLite needs a file (sqlite:///path/to/file), because a database "
            "in memory is a different one for each thread."
        )
    return config


def read_email(env: environ.Env, url: str) -> dict[str, Any]:
    """Django's EMAIL_* settings from a URL. Raises ImproperlyConfigured."""
    try:
        config: dict[str, Any] = env.email_url_config(url)
    except (KeyError, ValueError, ImproperlyConfigured):
        raise ImproperlyConfigured(
            "EMAIL_URL must look like smtp+tls://user:password@host:587 or consolemail://."
        ) from None
    return config
