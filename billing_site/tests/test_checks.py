"""Wrong and dangerous settings are found at start: one line each, with an id or a way out."""

import os
import subprocess
import sys

import environ
import pytest
from django.conf import settings as project
from django.core.management import call_command
from djstripe import checks as djstripe_checks

from billing_site import checks
from billing_site.environment import read_bool

LIVE = "sk_live_" + "0" * 24
PUBLIC = {
    "SITE_URL": "https://pay.example.com",
    "SECRET_KEY": "a-key-of-fifty-characters-and-more-0123456789-abcdefghij",
    "DATABASE_URL": "postgres://user:password@db.example.com:5432/billing",
    "EMAIL_URL": "smtp+tls://user:password@mail.example.com:587",
    "GENERATION_BASE_URL": "https://api.example.com/v1",
}


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    names = {*PUBLIC, "DEBUG", "ALLOWED_HOSTS", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET"}
    names.add("DJANGO_ALLOW_ASYNC_UNSAFE")  # conftest.py's; Django refuses it in deployment
    inherited = {name: value for name, value in os.environ.items() if name not in names}
    return subprocess.run(
        [sys.executable, *command], cwd=project.BASE_DIR, env={**inherited, **environment},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


class TestEnvironment:
    """A value that cannot be understood stops every command with one line."""

    @pytest.mark.parametrize(
        "name, value, advice",
        [
            ("DEBUG", "perhaps", "DEBUG is 'perhaps': use true or false."),
            ("DATABASE_URL", "oracle://host/db", "DATABASE_URL must look like postgres://"),
            ("DATABASE_URL", "site.sqlite3", "DATABASE_URL must look like postgres://"),
            ("DATABASE_URL", "sqlite://:memory:", "DATABASE_URL: SQLite needs a file"),
            ("EMAIL_URL", "mail.example.com", "EMAIL_URL must look like smtp+tls://"),
            ("EMAIL_URL", "smtp+tls://host:port", "EMAIL_URL must look like smtp+tls://"),
        ],
    )
    def test_names_the_variable_and_what_it_may_be(
        self, name: str, value: str, advice: str
    ) -> None:
        done = run("manage.py", "check", **{name: value})
        assert done.returncode == 1
        [line] = done.stderr.splitlines()
        assert line.startswith(f"The configuration is wrong: {advice}")

    @pytest.mark.parametrize("value", ["1", "true", "True", "yes", "on"])
    def test_understands_yes(self, value: str) -> None:
        assert read_debug(value) is True

    @pytest.mark.parametrize("value", ["", "0", "false", "NO", " off "])
    def test_understands_no(self, value: str) -> None:
        assert read_debug(value) is False

    def test_says_nothing_about_a_password(self) -> None:
        done = run("manage.py", "check", DATABASE_URL="postgresql+x://user:s3cret@host/db")
        assert done.returncode == 1
        assert "s3cret" not in done.stderr + done.stdout


class TestWebServer:
    """It does not start with what `manage.py check` refuses."""

    @pytest.mark.parametrize(
        "name, value, complaint",
        [
            ("DEBUG", "perhaps", "DEBUG is 'perhaps': use true or false."),
            ("GENERATION_BASE_URL", "api.example.com", "billing_site.E001"),
            ("STRIPE_SECRET_KEY", "pk_test_1", "billing_site.E002"),
        ],
    )
    def test_stops_with_a_line(self, name: str, value: str, complaint: str) -> None:
        done = run("-c", "import billing_site.wsgi", **{name: value})
        assert done.returncode == 1
        assert any(complaint in line for line in done.stderr.splitlines()[-6:]), done.stderr


class TestChecks:
    @pytest.mark.parametrize(
        "check, changes",
        [
            ("E001", {"SITE_URL": "pay.example.com"}),
            ("E001", {"GENERATION_BASE_URL": "ftp://api.example.com"}),
            ("E001", {"STRIPE_API_BASE": "http://"}),
            ("E002", {"STRIPE_SECRET_KEY": "pk_test_1"}),
            ("E003", {"STRIPE_WEBHOOK_SECRET": ["whsec_1", "sk_test_1"]}),
            ("E004", {"STRIPE_API_BASE": "http://127.0.0.1:1", "STRIPE_LIVE_MODE": True}),
            ("E005", {"DEBUG": True, "IS_PUBLIC": True}),
            ("E005", {"DEBUG": True, "STRIPE_LIVE_MODE": True}),
        ],
    )
    def test_refuses(self, settings, check: str, changes: dict[str, object]) -> None:
        for name, value in changes.items():
            setattr(settings, name, value)
        [found] = checks.check_settings()
        assert found.id == f"billing_site.{check}"
        assert found.is_serious()
        assert found.hint

    @pytest.mark.parametrize(
        "check, changes",
        [
            ("W001", {"IS_PUBLIC": False}),
            ("E006", {"SECRET_KEY_IS_LOCAL": True}),
            ("W002", {"GENERATION_BASE_URL": ""}),
            ("W003", {"EMAIL_BACKEND": "django.core.mail.backends.console.EmailBackend"}),
            ("W004", {"ALLOWED_HOSTS": ["*"]}),
        ],
    )
    def test_misses_on_a_public_site(
        self, settings, check: str, changes: dict[str, object]
    ) -> None:
        public = {
            "IS_PUBLIC": True,
            "SECRET_KEY_IS_LOCAL": False,
            "GENERATION_BASE_URL": "https://api.example.com/v1",
            "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
            "ALLOWED_HOSTS": ["pay.example.com"],
        }
        for name, value in {**public, **changes}.items():
            setattr(settings, name, value)
        [found] = checks.check_deployment()
        assert found.id == f"billing_site.{check}"
        assert found.hint


class TestDeployment:
    def test_a_complete_configuration_passes(self) -> None:
        done = run("manage.py", "check", "--deploy", "--fail-level", "WARNING", **PUBLIC)
        assert done.returncode == 0, done.stderr

    def test_live_keys_pass_as_well(self) -> None:
        stripe = {"STRIPE_SECRET_KEY": LIVE, "STRIPE_WEBHOOK_SECRET": "whsec_1,whsec_2"}
        done = run("manage.py", "check", "--deploy", "--fail-level", "WARNING", **PUBLIC, **stripe)
        assert done.returncode == 0, done.stderr

    def test_nothing_configured_is_refused_with_everything_that_is_missing(self) -> None:
        done = run("manage.py", "check", "--deploy", "--fail-level", "WARNING")
        assert done.returncode == 1
        for check in ("W001", "E006", "W002", "W003"):
            assert f"billing_site.{check}" in done.stderr

    def test_nothing_configured_is_good_for_trying_out(self) -> None:
        done = run("manage.py", "check", "--fail-level", "WARNING")
        assert done.returncode == 0, done.stderr


def read_debug(value: str) -> bool:
    class Env(environ.Env):
        ENVIRON = {"DEBUG": value}

    return read_bool(Env(), "DEBUG", default=True)


class TestStarting:
    """`check`, and importing the WSGI application, which runs it, need no database."""

    def test_asks_no_database(self):
        call_command("check")  # a test without a database may not touch one

    def test_would_with_the_check_that_is_left_out(self):
        with pytest.raises(RuntimeError, match="Database access not allowed"):
            djstripe_checks.check_webhook_endpoint_has_secret()
