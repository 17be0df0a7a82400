"""What cannot be understood stops the start with a sentence, not with a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import environ
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMultiAlternatives, get_connection

from billing_site.environment import read_address, read_database, read_email


@pytest.mark.parametrize("address", ["http://[::1", "https://x:abc", "http://h:99999"])
def test_an_address_that_cannot_be_taken_apart_is_refused(monkeypatch, address):
    monkeypatch.setenv("SITE_URL", address)
    with pytest.raises(ImproperlyConfigured, match=r"SITE_URL is .* not a web address\."):
        read_address(environ.Env(), "SITE_URL")


@pytest.mark.parametrize("url", ["postgres://u:p@h:abc/d", "oracle://h/d", "db"])
def test_a_database_that_cannot_be_understood_is_refused(url):
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL must look like"):
        read_database(environ.Env(), url)


def test_mails_in_the_terminal_are_text_only(capsys):
    backend = read_email(environ.Env(), "consolemail://")["EMAIL_BACKEND"]
    message = EmailMultiAlternatives("Subject", "The text.", "a@example.com", ["b@example.com"])
    message.attach_alternative("<p>The HTML.</p>", "text/html")
    assert get_connection(backend).send_messages([message]) == 1
    said = capsys.readouterr().out
    assert "To: b@example.com" in said
    assert "The text." in said
    assert "HTML" not in said


def test_processes_that_start_at_once_agree_on_the_local_key(tmp_path):
    code = (
        "from billing_site import settings; from pathlib import Path; import sys;"
        "settings.VAR_DIR = Path(sys.argv[1]); print(settings.local_secret_key())"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "var")],
            env={**os.environ, "SECRET_KEY": "irrelevant"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    keys = {process.communicate()[0].strip() for process in processes}
    assert len(keys) == 1
    assert len(keys.pop()) > 50
    assert [path.name for path in Path(tmp_path / "var").iterdir()] == ["secret_key"]
