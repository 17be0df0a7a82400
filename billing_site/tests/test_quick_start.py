"""The snippets on the page of API keys work when they are pasted."""

import re
import shutil
import subprocess
import sys
from html import unescape

import pytest
from django.test import Client
from django.utils import timezone

from billing_site.accounts.tests.cast import new_user
from billing_site.tests.working import worker
from credits import queries, services
from credits.models import Pool

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def snippets(live_server, settings) -> dict[str, str]:
    """What stands on the page that shows a new key, by language."""
    settings.SITE_URL = live_server.url
    user, now = new_user(), timezone.now()
    account = services.open_account(user_id=user.pk, now=now)
    services.grant(account_id=account.pk, pool=Pool.BULK, amount=5, source_key="gift:1", now=now)
    client = Client()
    client.force_login(user)
    page = client.post("/api-keys/", {"name": "pasted"}).content.decode()
    return {
        language: unescape(code)
        for language, code in re.findall(r'id="quick-start-(\w+)">(.*?)</code>', page, re.S)
    }


def test_python(snippets: dict[str, str]) -> None:
    with worker() as model:
        run = subprocess.run(
            [sys.executable, "-c", snippets["python"]],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert run.stderr == ""
    assert f"succeeded {model.text}" in run.stdout
    assert "'available': 4" in run.stdout


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is missing: apt install curl")
def test_curl(snippets: dict[str, str]) -> None:
    run = subprocess.run(
        ["sh", "-ec", snippets["curl"]], capture_output=True, text=True, timeout=60, check=False
    )
    assert '"available":5' in run.stdout.replace(" ", ""), run
    assert '"status":"queued"' in run.stdout.replace(" ", ""), run
    assert not list(queries.find_imbalances())
