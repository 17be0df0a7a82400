"""Workers, connections and the whole database are killed under load: nothing is lost or doubled."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from billing_site.embedded_postgres import launcher
from generation.tests.misbehaving_server import MisbehavingServer

SECONDS = 12


class Site:
    """Processes of a site whose database lives in `directory`."""

    def __init__(self, directory, backend_url):
        self.directory = directory
        self.processes = []
        self.environment = {
            **os.environ,
            "ELSEWHERE": str(directory),
            "DJANGO_SETTINGS_MODULE": "billing_site.tests.settings_elsewhere",
            "GENERATION_BASE_URL": backend_url,
        }
        self.environment.pop("DATABASE_URL", None)
        self.log = open(directory.with_suffix(".log"), "a")  # noqa: SIM115 (as long as the site)

    def start(self, *arguments):
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        self.processes.append(process)
        return process

    def stop(self):
        """Everything, also after a failed assertion: a living worker would restart the database."""
        for process in self.processes:
            process.kill()
            process.wait()
        launcher.stop(self.directory)

    def load(self, *arguments):
        return self.start("-m", "billing_site.tests.crash_load", *arguments)

    def worker(self):
        return self.start("manage.py", "worker", "--concurrency", "2")

    def finish(self, process):
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, Path(self.log.name).read_text()[-3000:]
        return json.loads(output or "null")

    def postmaster(self):
        return psutil.Process(launcher.status(self.directory).pid)


@pytest.fixture
def site(tmp_path):
    with MisbehavingServer(chunk_delay=0.01) as backend:
        elsewhere = Site(tmp_path / "postgres", backend.base_url)
        yield elsewhere
        elsewhere.stop()


def kill_a_connection(site):
    serving = [p for p in site.postmaster().children() if "billing_site" in " ".join(p.cmdline())]
    if serving:
        random.choice(serving).kill()


def kill_the_database(site):
    site.postmaster().kill()


def test_crashes_under_load_lose_and_double_nothing(site):
    site.finish(site.load("prepare"))
    worker, load = site.worker(), site.load("load", str(SECONDS))
    done = Counter()
    assert load.stdout.readline() == "started\n"
    time.sleep(1)
    for crash in ("connection", "worker", "database", "connection", "worker", "database"):
        with suppress(psutil.NoSuchProcess):
            if crash == "connection":
                kill_a_connection(site)
            elif crash == "database":
                kill_the_database(site)
            else:
                worker.kill()
                worker.wait()
                worker = site.worker()
            done[crash] += 1
        time.sleep(1.2)
    answers = site.finish(load)
    report = site.finish(site.load("verify"))
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=40)

    assert min(done.values()) == 2
    assert len(answers["answered"]) > 100
    assert answers["repeated"] > 0, "no crash was noticed: the test proves nothing"
    keys = Counter(report["keys"])
    assert max(keys.values()) == 1, "a call was carried out twice"
    assert set(answers["answered"]) == set(keys), "an answered call is gone, or another was made"
    assert report["open"] == 0
    assert report["succeeded"] == report["captured_generations"]
    assert report["missing_credits"] == 0
    assert report["imbalances"] == []
