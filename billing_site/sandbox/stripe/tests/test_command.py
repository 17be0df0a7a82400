"""`manage.py stripe_sandbox`: in the foreground, until it is told to stop."""

import os
import signal
import socket
import subprocess
import sys

import pytest
import requests
from django.core.management import CommandError, call_command

from billing_site.sandbox.stripe.tests.conftest import KEY, SECRET


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_runs_without_a_database_until_it_is_told_to_stop(port, tmp_path):
    environment = {
        **os.environ,
        "STRIPE_SECRET_KEY": KEY,
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "STRIPE_API_BASE": f"http://127.0.0.1:{port}",
        "DATABASE_URL": "postgres://nobody@127.0.0.1:1/nothing",
        "PYTHONUNBUFFERED": "1",
    }
    command = [sys.executable, "manage.py", "stripe_sandbox", "--port", str(port)]
    command += ["--webhook-url", "http://127.0.0.1:1/", "--state-file", str(tmp_path / "s.json")]
    child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert f"http://127.0.0.1:{port}" in child.stdout.readline()
        assert "/_sandbox/" in child.stdout.readline()
        answer = requests.get(f"http://127.0.0.1:{port}/v1/account", auth=(KEY, ""), timeout=5)
        assert answer.json()["object"] == "account"
        child.send_signal(signal.SIGTERM)
        assert child.wait(10) == 0
        assert "stopped" in child.stdout.read()
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    assert (tmp_path / "s.json").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"STRIPE_SECRET_KEY": "sk_live_" + "0" * 24}, "test keys only"),
        ({"STRIPE_SECRET_KEY": ""}, "test keys only"),
        ({"STRIPE_WEBHOOK_SECRET": []}, "STRIPE_WEBHOOK_SECRET is not set"),
        ({"STRIPE_API_BASE": "https://api.stripe.com"}, "would not ask this sandbox"),
        ({"STRIPE_API_BASE": "http://127.0.0.1:1"}, "would not ask this sandbox"),
    ],
)
def test_refuses_what_cannot_work(changes, words, settings, tmp_path):
    defaults = {"STRIPE_SECRET_KEY": KEY, "STRIPE_WEBHOOK_SECRET": [SECRET], "STRIPE_API_BASE": ""}
    for name, value in {**defaults, **changes}.items():
        setattr(settings, name, value)
    with pytest.raises(CommandError, match=words):
        call_command("stripe_sandbox", state_file=tmp_path / "s.json")


def test_says_when_its_port_is_taken(settings, tmp_path):
    settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET = KEY, [SECRET]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings.STRIPE_API_BASE = f"http://127.0.0.1:{port}"
        with pytest.raises(CommandError, match="cannot be used"):
            call_command("stripe_sandbox", port=port, state_file=tmp_path / "s.json")
