"""`manage.py quickstart`, from outside: what it says, and that it leaves nothing running."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import requests
from allauth.account.models import EmailAddress
from django.conf import settings
from django.utils import timezone

from billing_site.accounts.models import User
from billing_site.embedded_postgres import launcher
from billing_site.sandbox import demo, processes
from billing_site.sandbox.processes import ChildEnded, Children
from billing_site.sandbox.quickstart import Quickstart, QuickstartFailed
from credits import queries
from generation.tests.misbehaving_server import MisbehavingServer, wait_until

RUNNING = "Ctrl-C stops everything."
MEGABYTES = 400  # quickstart, worker and web together
SECONDS = 90  # for quickstart --check
WORD_SECONDS = 0.03


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Site:
    """A directory for the database, and quickstarts on it."""

    def __init__(self, directory: Path, model: MisbehavingServer) -> None:
        self.directory = directory
        self.runs: list[Run] = []
        self.first: Run  # quickstart --check from nothing
        self.first_status: int
        self.first_seconds: float
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "billing_site.tests.settings_elsewhere",
            "ELSEWHERE": str(directory),
            "DATABASE_URL": "",
            "SITE_URL": "http://127.0.0.1:8000",
            "GENERATION_BASE_URL": model.base_url,
        }

    def quickstart(self, *arguments: str, **environment: str) -> "Run":
        command = [sys.executable, "manage.py", "quickstart", "--port", str(free_port())]
        run = Run([*command, *arguments], {**self.environment, **environment})
        self.runs.append(run)
        return run

    def has_a_database_running(self) -> bool:
        return launcher.status(self.directory).is_running


class Run:
    """One quickstart: its output as it comes, and every process that it ever had."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.output = ""
        self.seen: set[psutil.Process] = set()
        self.process = subprocess.Popen(
            command, cwd=settings.BASE_DIR, env=environment, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.output += line

    def until(self, text: str) -> "Run":
        deadline = time.monotonic() + SECONDS
        while text not in self.output:
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.02)
        self.children()
        return self

    def children(self) -> list[psutil.Process]:
        found = psutil.Process(self.process.pid).children(recursive=True)
        self.seen.update(found)
        return found

    def child(self, words: str) -> psutil.Process:
        return next(child for child in self.children() if words in " ".join(child.cmdline()))

    def ends(self) -> int:
        """Waits for the end; returns the exit status. Nothing that was seen may still run."""
        status = self.process.wait(SECONDS)
        self.reader.join(5)
        assert [one for one in self.seen if runs(one)] == [], self.output
        return status


def runs(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


@pytest.fixture(scope="module")
def model() -> Iterator[MisbehavingServer]:
    with MisbehavingServer(chunk_delay=WORD_SECONDS) as server:
        yield server


@pytest.fixture(scope="module")
def module_site(tmp_path_factory, model: MisbehavingServer) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("quickstart") / "postgres", model)
    began = time.monotonic()
    site.first = site.quickstart("--check")
    site.first_status, site.first_seconds = site.first.ends(), time.monotonic() - began
    yield site
    launcher.stop(site.directory)


@pytest.fixture
def site(module_site: Site) -> Iterator[Site]:
    """Ends what a failed test left, and looks that the database was stopped as it was found."""
    module_site.runs.clear()
    yield module_site
    for run in module_site.runs:
        if run.process.poll() is None:
            run.process.send_signal(signal.SIGTERM)
            run.process.wait(SECONDS)
    assert not module_site.has_a_database_running()


class TestTheMainJob:
    def test_is_done_once_by_check(self, site: Site) -> None:
        assert site.first_status == 0, site.first.output
        assert site.first.output.endswith("quickstart --check: all steps passed\n")
        assert "renewed: 20 credits, the packs untouched" in site.first.output
        assert "the books balance" in site.first.output
        assert site.first_seconds < SECONDS

    def test_leaves_the_clock_of_the_sandbox_where_it_was(self, site: Site) -> None:
        run = site.quickstart().until(RUNNING)
        found = re.search(r"http://127.0.0.1:\d+/_sandbox/", run.output)
        assert found, run.output
        page = requests.get(found[0], timeout=5).text
        assert "(0 days ahead)" in page

    def test_runs_in_little_memory_until_ctrl_c(self, site: Site) -> None:
        run = site.quickstart().until(RUNNING)
        processes = [psutil.Process(run.process.pid), *run.children()]
        used = sum(process.memory_info().rss for process in processes) // 2**20
        os.killpg(run.process.pid, signal.SIGINT)  # as a terminal does
        assert run.ends() == 0, run.output
        assert run.output.endswith("stopped: all of it\n")
        assert len(run.seen) == 3, "worker, granian and granian's worker"
        assert used < MEGABYTES

    def test_goes_on_with_its_data_and_an_interrupted_check_fails(
        self, site: Site, model: MisbehavingServer
    ) -> None:
        model.chunk_delay = 1.0
        run = site.quickstart("--check").until("generation requested")
        model.chunk_delay = WORD_SECONDS
        run.process.send_signal(signal.SIGINT)
        assert run.ends() == 1
        assert "migrations      up to date" in run.output
        assert "balance before: 54 credits" in run.output
        assert run.output.endswith("CommandError: Interrupted before the check was done.\n")


class TestTheEnd:
    """Whatever ends it, all of it ends."""

    def test_comes_with_sigterm_while_it_is_starting(self, site: Site) -> None:
        run = site.quickstart().until("worker | ")
        run.process.send_signal(signal.SIGTERM)
        run.process.send_signal(signal.SIGTERM)  # impatient
        assert run.ends() == 0, run.output
        assert RUNNING not in run.output

    def test_comes_when_a_child_dies(self, site: Site) -> None:
        run = site.quickstart().until(RUNNING)
        run.child("granian").kill()
        assert run.ends() == 1
        assert "The web process has ended (exit status -9)." in run.output.splitlines()[-1]
        assert "Traceback" not in run.output


class TestChildren:
    def test_say_which_of_them_has_ended(self) -> None:
        children = Children(lambda line: None)
        children.start("worker", ["sh", "-c", "exit 3"])
        with pytest.raises(ChildEnded, match=r"worker process has ended \(exit status 3\)"):
            wait_until(children.check)

    def test_write_one_stream(self) -> None:
        lines: list[str] = []
        children = Children(lines.append)
        children.start("web", ["sh", "-c", "echo out; echo err >&2"])
        children.start("worker", ["sh", "-c", "echo text"])
        wait_until(lambda: len(lines) == 3)
        children.stop()
        assert sorted(lines) == ["web    | err", "web    | out", "worker | text"]

    def test_end_even_if_they_do_not_want_to(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(processes, "STOP_SECONDS", 0.3)
        lines: list[str] = []
        children = Children(lines.append)
        children.start("deaf", ["sh", "-c", "trap '' TERM; sleep 60 & echo $!; wait; sleep 60"])
        wait_until(lambda: lines)
        child = psutil.Process(int(lines[0].split()[-1]))
        children.stop()
        child.wait(5)


class TestOneSentence:
    """What cannot work is refused before anything is started."""

    def test_when_the_port_is_taken(self, site: Site) -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            run = site.quickstart("--port", str(port))
            assert run.ends() == 1
        [line] = run.output.splitlines()
        assert line.startswith(f"CommandError: Port {port} is taken")
        assert "or choose another: `manage.py quickstart --port" in line

    @pytest.mark.parametrize(
        "name, value, sentence",
        [
            ("IS_PUBLIC", True, "quickstart is for trying out"),
            ("STRIPE_LIVE_MODE", True, "quickstart is for trying out"),
            ("GENERATION_BASE_URL", "api.example.com", "which is not a web address"),
        ],
    )
    def test_when_the_settings_do_not_fit(
        self, settings, name: str, value: object, sentence: str
    ) -> None:
        setattr(settings, name, value)
        lines: list[str] = []
        with pytest.raises(QuickstartFailed, match=sentence):
            Quickstart(port=free_port(), write=lines.append).start()
        assert lines == []

    def test_with_a_database_that_is_not_there(self, site: Site) -> None:
        url = f"postgres://u:p@127.0.0.1:{free_port()}/none"
        run = site.quickstart(DATABASE_URL=url)
        assert run.ends() == 1
        assert "The database cannot be used: " in run.output
        assert "Traceback" not in run.output

    def test_when_the_model_cannot_be_downloaded(self, site: Site, tmp_path: Path) -> None:
        """With a checkout of its own for the model, and no network."""
        (tmp_path / "fresh.py").write_text(
            "from pathlib import Path\n"
            "from billing_site.tests.settings_elsewhere import *\n"
            f"BASE_DIR = Path({str(tmp_path)!r})\n"
        )
        run = site.quickstart(
            PYTHONPATH=str(tmp_path), DJANGO_SETTINGS_MODULE="fresh", GENERATION_BASE_URL="",
            PIP_CONFIG_FILE=os.devnull, PIP_RETRIES="0", PIP_TIMEOUT="1",
            PIP_INDEX_URL=f"http://127.0.0.1:{free_port()}/simple",
        )  # fmt: skip
        assert run.ends() == 1
        last = run.output.splitlines()[-1]
        assert "The local model cannot be downloaded" in last
        assert "check the network" in last
        assert "Traceback" not in run.output


@pytest.mark.django_db
class TestDemoPeople:
    def test_are_made_once(self) -> None:
        now = timezone.now()
        account_id = demo.make_people(now=now)
        assert demo.make_people(now=timezone.now()) == account_id
        balance = queries.balance(account_id=account_id, now=now)
        assert balance.pools == {"subscription": 5, "promotional": 0, "bulk": 50}
        assert User.objects.count() == 4

    def test_are_made_anew_after_somebody_tried_out_erasing(self) -> None:
        first = demo.make_people(now=timezone.now())
        User.objects.filter(email=demo.CUSTOMER.email).update(email="erased-1@erased.invalid")
        EmailAddress.objects.filter(email=demo.CUSTOMER.email).delete()
        second = demo.make_people(now=timezone.now())
        assert second != first
        assert queries.balance(account_id=second, now=timezone.now()).available == 55

    def test_can_sign_in(self, client) -> None:
        demo.make_people(now=timezone.now())
        for person in (demo.CUSTOMER, *demo.DESK):
            answer = client.post(
                "/accounts/login/", {"login": person.email, "password": demo.PASSWORD}
            )
            assert answer.status_code == 302
            client.logout()
        assert not User.objects.get(email=demo.CUSTOMER.email).is_staff
        owners = User.objects.filter(is_superuser=True)
        assert [owner.email for owner in owners] == [demo.STAFF.email]
        assert User.objects.get(email=demo.BILLING.email).has_perm("credits.approve_adjustment")
        assert not User.objects.get(email=demo.SUPPORT.email).has_perm("credits.refund_payment")
