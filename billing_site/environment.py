"""Reading the environment strictly: a value that cannot be understood stops the start."""

import re
from typing import Any
from urllib.parse import urlsplit

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


def read_address(env: environ.Env, name: str) -> str:
    """A web address, or nothing. Raises ImproperlyConfigured for what cannot be taken apart.

    Whether it begins with http:// and names a host is for the checks to say (billing_site.E001).
    """
    value: str = env.str(name, default="")
    try:
        urlsplit(value).port  # noqa: B018 (reading it is the test)
    except ValueError:
        raise ImproperlyConfigured(f"{name} is {value!r}, which is not a web address.") from None
    return value


def read_path(env: environ.Env, name: str, *, default: str) -> str:
    """A path on this site, ending in "/". Raises ImproperlyConfigured for what is none."""
    value = env.str(name, default=default).strip("/")
    if not re.fullmatch(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*", value):
        raise ImproperlyConfigured(f"{name} is {value!r}: use letters, digits, - and _ between /.")
    return f"{value}/"


def read_database(env: environ.Env, url: str) -> dict[str, Any]:
    """A DATABASES entry from a URL. Raises ImproperlyConfigured with what is accepted."""
    scheme = url.partition(":")[0]
    try:
        if scheme not in DATABASES or "://" not in url:
            raise ValueError
        config: dict[str, Any] = env.db_url_config(url)
    except ValueError:
        raise ImproperlyConfigured(
            "DATABASE_URL must look like postgres://user:password@host:5432/name, "
            "mysql://user:password@host:3306/name or sqlite:///path/to/file."
        ) from None
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
    if config["EMAIL_BACKEND"] == "django.core.mail.backends.console.EmailBackend":
        config["EMAIL_BACKEND"] = "billing_site.terminal_mail.EmailBackend"
    return config


def read_limits(env: environ.Env, name: str, *, default: str) -> dict[str, int]:
    """Whole numbers by name, `Support=100,Billing=500`. Raises ImproperlyConfigured."""
    value: str = env.str(name, default=default)
    found = {}
    for entry in value.split(","):
        group, _equals, limit = (part.strip() for part in entry.partition("="))
        if not group or not (limit.isascii() and limit.isdigit()):
            raise ImproperlyConfigured(f"{name} is {value!r}: use Support=100,Billing=500.")
        found[group] = int(limit)
    return found
