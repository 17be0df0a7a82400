"""The launcher against real servers; each test has its own cluster."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from billing_site.embedded_postgres import binaries, cluster, errors, launcher, probes

from .servers import (
    as_user,
    is_dead,
    kill,
    only_as_root,
    ordinary_user,
    query,
    run_python,
    start_python,
    wait_until,
)

ENSURE = """
import sys
from pathlib import Path
from billing_site.embedded_postgres import launcher
print(launcher.ensure(Path(sys.argv[1]), "site").pid)
"""


class TestEnsure:
    def test_makes_cluster_server_and_database(self, empty: Path) -> None:
        server = launcher.ensure(empty, "site")

        assert query(server, "SELECT current_database()") == "site"

    def test_finds_the_running_server(self, directory: Path) -> None:
        first = launcher.ensure(directory, "site")

        assert launcher.ensure(directory, "site") == first

    @pytest.mark.parametrize("database", ["another", "üñ-site"])
    def test_adds_a_database_to_a_running_server(self, directory: Path, database: str) -> None:
        launcher.ensure(directory, "site")

        server = launcher.ensure(directory, database)

        assert query(server, "SELECT current_database()", database) == database

    def test_server_is_configured_for_this_machine_only_and_for_safety(
        self, directory: Path
    ) -> None:
        expected = {
            "listen_addresses": "",
            "max_connections": "100",
            "shared_buffers": "128MB",
            "TimeZone": "UTC",
            "fsync": "on",
            "full_page_writes": "on",
            "synchronous_commit": "on",
            "server_encoding": "UTF8",
        }

        server = launcher.ensure(directory, "site")

        assert {name: query(server, f"SHOW {name}") for name in expected} == expected

    def test_socket_and_data_are_closed_to_other_users(self, directory: Path) -> None:
        launcher.ensure(directory)

        assert directory.stat().st_mode & 0o077 == 0

    def test_secrets_of_our_environment_do_not_reach_the_server(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("STRIPE_SECRET_KEY", "sk_live_never")
        monkeypatch.setenv("PGPORT", "6543")

        launcher.stop(directory)
        server = launcher.ensure(directory)

        environment = psutil.Process(server.pid).environ()
        assert "STRIPE_SECRET_KEY" not in environment
        assert query(server, "SHOW port", "postgres") == "5432"

    def test_several_processes_at_once_get_one_server(self, empty: Path) -> None:
        started = [start_python(ENSURE, empty) for _ in range(6)]

        answers = [finish(30) for finish in started]

        assert {answer.returncode for answer in answers} == {0}, answers
        assert len({answer.stdout for answer in answers}) == 1

    def test_interrupted_initdb_leaves_no_half_a_cluster(self, empty: Path) -> None:
        found = cluster.locate(empty)
        cluster.prepare(found, empty)
        found.user.run(["mkdir", empty / "data.new-12345678"])
        found.user.run(["touch", empty / "data.new-12345678" / "PG_VERSION"])

        launcher.ensure(empty, "site")

        assert not list(empty.glob("data.new-*"))

    @only_as_root
    def test_root_runs_it_as_an_unprivileged_user(self, directory: Path) -> None:
        server = launcher.ensure(directory)

        process = psutil.Process(server.pid)
        assert process.username() in cluster.SERVICE_ACCOUNTS
        assert 0 not in {*process.uids(), *process.gids()}

    def test_ordinary_user_runs_it_as_itself(self, place: Path, empty: Path) -> None:
        if os.geteuid() == 0:
            user = ordinary_user()
            os.chown(place, user.uid, user.gid)
            server = as_user(user, launcher.ensure, empty, "site")
        else:
            user = cluster.locate(empty).user
            server = launcher.ensure(empty, "site")

        assert psutil.Process(server.pid).uids().real == user.uid

    @only_as_root
    def test_root_and_the_owner_of_a_cluster_share_its_server(
        self, place: Path, empty: Path
    ) -> None:
        user = ordinary_user()
        os.chown(place, user.uid, user.gid)

        server = launcher.ensure(empty, "site")

        assert psutil.Process(server.pid).uids().real == user.uid
        assert as_user(user, launcher.ensure, empty, "site") == server


class TestKilledServer:
    @pytest.fixture
    def server(self, directory: Path) -> launcher.Server:
        return launcher.ensure(directory, "site")

    def test_comes_back_with_all_data(self, server: launcher.Server, directory: Path) -> None:
        kill(server.pid)

        again = launcher.ensure(directory, "site")

        assert again.pid != server.pid
        assert query(again, "SELECT count(*) FROM kept") == 1000

    def test_comes_back_when_its_process_id_was_reused(
        self, server: launcher.Server, directory: Path
    ) -> None:
        found = cluster.locate(directory)
        kill(server.pid)
        lock = found.socket_directory / f"{cluster.SOCKET_NAME}.lock"
        for path in (found.pid_file, lock):
            # Of the server's own user, so that PostgreSQL cannot tell it from a postmaster.
            stranger = str(os.getppid())
            path.write_text(path.read_text().replace(str(server.pid), stranger, 1))

        again = launcher.ensure(directory, "site")

        assert query(again, "SELECT count(*) FROM kept") == 1000

    def test_stale_files_that_postgresql_believes_in_stop_it_without_our_help(
        self, server: launcher.Server, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The control: without the launcher's cleaning the test above would see a failure."""
        launcher.stop(directory)
        found = cluster.locate(directory)
        sleeper = self.sleeper(found.user)
        found.pid_file.write_text(f"{sleeper.pid}\n{found.data}\n1\n5432\n{directory}\n\n")
        monkeypatch.setattr(launcher, "_clear_stale_locks", lambda found: None)
        try:
            with pytest.raises(errors.ServerDidNotStart, match=r"postmaster\.pid.*already exists"):
                launcher.ensure(directory, "site")
            monkeypatch.undo()
            assert query(launcher.ensure(directory, "site"), "SELECT count(*) FROM kept") == 1000
        finally:
            sleeper.kill()
            sleeper.wait()

    @staticmethod
    def sleeper(user: cluster.ServerUser) -> subprocess.Popen[bytes]:
        drop = user.uid if os.geteuid() == 0 else None
        return subprocess.Popen(["sleep", "60"], user=drop, cwd="/")

    def test_waits_for_no_session_that_outlived_it(
        self, server: launcher.Server, directory: Path
    ) -> None:
        """A session in a long query does not notice that the postmaster is gone."""
        with server.connect("site") as session:
            busy = session.info.backend_pid
            session.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 10000000000)")
            wait_until(lambda: psutil.Process(busy).cpu_times().user > 0.05)
            kill(server.pid)
            assert psutil.Process(busy).is_running()

            again = launcher.ensure(directory, "site")

            assert query(again, "SELECT count(*) FROM kept") == 1000
            wait_until(lambda: is_dead(busy))
            session.close()

    def test_survives_a_lost_socket(self, server: launcher.Server, directory: Path) -> None:
        cluster.locate(directory).socket.unlink()

        again = launcher.ensure(directory, "site")

        assert query(again, "SELECT count(*) FROM kept") == 1000


class TestPlace:
    @pytest.fixture
    def long_directory(self, place: Path) -> Iterator[Path]:
        directory = place.joinpath(*["d" * 40] * 4, "postgres")
        yield directory
        launcher.stop(directory)
        shutil.rmtree(cluster.locate(directory).socket_directory)

    def test_may_have_a_path_too_long_for_a_socket(self, long_directory: Path) -> None:
        server = launcher.ensure(long_directory, "site")

        assert query(server, "SELECT 1") == 1
        assert Path(server.host).stat().st_mode & 0o077 == 0

    def test_may_have_any_name(self, place: Path) -> None:
        directory = place / "a, b;c'\"$HOME`x`\\"
        server = launcher.ensure(directory, "site")
        try:
            assert query(server, "SELECT 1") == 1
        finally:
            launcher.stop(directory)
            shutil.rmtree(server.host)

    @only_as_root
    def test_socket_stand_in_made_by_another_user_is_refused(self, long_directory: Path) -> None:
        stand_in = cluster.locate(long_directory).socket_directory
        stand_in.mkdir(mode=0o777)
        os.chown(stand_in, 12345, 12345)

        with pytest.raises(errors.ClusterBelongsToAnother, match="belongs to user id 12345"):
            launcher.ensure(long_directory)

    @only_as_root
    def test_checkout_and_programs_may_be_private_to_root(
        self, place: Path, root_state: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        private = place / "root"
        self.install_programs(private, monkeypatch)
        private.chmod(0o700)
        directory = private / "site" / "var" / "postgres"

        server = launcher.ensure(directory, "site")

        assert query(server, "SELECT 1") == 1
        assert private.stat().st_mode & 0o777 == 0o700
        assert directory.resolve().parent == root_state
        assert str(root_state) in psutil.Process(server.pid).exe()

    @staticmethod
    def install_programs(private: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """As if the virtual environment were below the private directory."""
        installed = binaries.find().parents[2]
        for name in (f"{binaries.PACKAGE}/__init__.py", f"{binaries.PACKAGE}/pginstall18"):
            target = private / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if (installed / name).is_dir():
                keep = shutil.ignore_patterns("*.a", "include")
                shutil.copytree(installed / name, target, ignore=keep)
            else:
                shutil.copy(installed / name, target)
        if (installed / f"{binaries.PACKAGE}.libs").exists():
            libraries = f"{binaries.PACKAGE}.libs"
            shutil.copytree(installed / libraries, private / libraries)
        monkeypatch.syspath_prepend(private)

    @only_as_root
    def test_relocated_cluster_is_found_again_when_the_checkout_moves(
        self, place: Path, root_state: Path
    ) -> None:
        (place / "root").mkdir(mode=0o700)
        server = launcher.ensure(place / "root" / "var" / "postgres", "site")

        (place / "root").rename(place / "moved")

        assert launcher.ensure(place / "moved" / "var" / "postgres", "site") == server

    @only_as_root
    def test_cluster_that_became_unreachable_is_not_replaced_by_an_empty_one(
        self, place: Path, empty: Path, root_state: Path
    ) -> None:
        found = cluster.locate(empty)
        cluster.prepare(found, empty)
        found.user.run(["mkdir", found.data])

        place.chmod(0o700)

        with pytest.raises(errors.ClusterBelongsToAnother, match="may no longer enter"):
            launcher.ensure(empty)

    @only_as_root
    def test_state_directory_prepared_by_another_user_is_refused(
        self, place: Path, root_state: Path
    ) -> None:
        (place / "root").mkdir(mode=0o700)
        root_state.mkdir()
        os.chown(root_state, 12345, 12345)

        with pytest.raises(errors.ClusterBelongsToAnother, match="only root can write to"):
            launcher.ensure(place / "root" / "postgres")


class TestRefusal:
    """Each says in one sentence what is wrong, and how to do without the embedded server."""

    def refuse(self, directory: Path, error: type[Exception], match: str) -> None:
        with pytest.raises(error, match=match) as caught:
            launcher.ensure(directory, "site")
        assert str(caught.value).endswith(errors.ADVICE)
        assert "\n" not in str(caught.value)

    @only_as_root
    def test_of_another_users_cluster(self, directory: Path) -> None:
        launcher.ensure(directory)
        user = ordinary_user()

        with pytest.raises(AssertionError, match=r"ClusterBelongsToAnother.*run this as"):
            as_user(user, launcher.ensure, directory)

    @only_as_root
    def test_of_a_place_that_may_not_be_written(self, empty: Path) -> None:
        with pytest.raises(AssertionError, match=r"cannot use .*: Permission denied"):
            as_user(ordinary_user(), launcher.ensure, empty)

    @only_as_root
    def test_of_an_account_without_a_name(self, place: Path, empty: Path) -> None:
        user = cluster.ServerUser("", 54321, 54321)
        os.chown(place, user.uid, user.gid)

        with pytest.raises(AssertionError, match=r"UnsupportedPlatform.*user id 54321 has none"):
            as_user(user, launcher.ensure, empty)

    @only_as_root
    def test_of_a_directory_that_holds_something_else(self, empty: Path) -> None:
        empty.mkdir(parents=True)
        (empty / "passwd").touch()

        self.refuse(empty, errors.ClusterBelongsToAnother, "holds other files")
        assert empty.stat().st_uid == 0

    def test_of_windows(self, empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.platform", "win32")

        self.refuse(empty, errors.UnsupportedPlatform, "Linux and macOS only")

    def test_without_the_wheel(self, empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(binaries, "PACKAGE", "not_installed")

        self.refuse(empty, errors.BinariesMissing, "pip install -r requirements.txt")

    def test_of_programs_that_do_not_run_here(
        self, place: Path, empty: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (place / "initdb").write_bytes(b"\x7fELF of another machine")
        (place / "initdb").chmod(0o755)
        monkeypatch.setattr(binaries, "find", lambda: place)

        self.refuse(empty, errors.EmbeddedPostgresError, "Exec format error")

    @only_as_root
    def test_of_a_full_disk(self, place: Path) -> None:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", place],
            check=False,
            capture_output=True,
        )
        if mounted.returncode != 0:
            pytest.skip("needs to be allowed to mount a small file system")
        place.chmod(0o755)
        try:
            directory = place / "postgres"
            self.refuse(directory, errors.ServerDidNotStart, "initdb.*No space left on device")
        finally:
            subprocess.run(["umount", place], check=True)

    def test_to_start_with_a_broken_configuration_shows_the_log(self, directory: Path) -> None:
        configuration = directory / "data" / "postgresql.conf"
        launcher.stop(directory)
        with changed(configuration, f"{configuration.read_text()}work_mem = plenty\n"):
            self.refuse(directory, errors.ServerDidNotStart, r"work_mem.*server\.log")

    def test_of_a_cluster_of_another_major_version(self, directory: Path) -> None:
        launcher.stop(directory)
        with changed(directory / "data" / "PG_VERSION", "16\n"):
            self.refuse(directory, errors.ServerDidNotStart, "made by PostgreSQL 16")


@contextmanager
def changed(path: Path, text: str) -> Iterator[None]:
    before = path.read_text()
    path.write_text(text)
    try:
        yield
    finally:
        path.write_text(before)


class TestStopAndStatus:
    def test_stopped_server_is_started_by_the_next_use(self, directory: Path) -> None:
        server = launcher.ensure(directory, "site")

        assert launcher.stop(directory)
        assert is_dead(server.pid)
        assert query(launcher.ensure(directory, "site"), "SELECT 1") == 1

    def test_stop_without_a_server_says_so(self, empty: Path) -> None:
        assert not launcher.stop(empty)
        assert not empty.exists()

    def test_stop_ends_open_sessions(self, directory: Path) -> None:
        with launcher.ensure(directory, "site").connect("site"):
            assert launcher.stop(directory)

    def test_status_tells_running_from_stopped(self, directory: Path) -> None:
        server = launcher.ensure(directory)
        running = launcher.status(directory)
        launcher.stop(directory)
        stopped = launcher.status(directory)

        assert (running.is_running, running.pid) == (True, server.pid)
        assert str(running.version).startswith("18.")
        assert running.size > 10_000_000
        assert (stopped.is_running, stopped.version) == (False, "18")

    def test_status_of_a_killed_server_is_stopped(self, directory: Path) -> None:
        kill(launcher.ensure(directory).pid)

        assert not launcher.status(directory).is_running

    def test_status_creates_nothing(self, empty: Path) -> None:
        assert not launcher.status(empty).is_running
        assert not empty.exists()


class TestPresence:
    def test_ends_with_the_last_process_of_the_server(self, directory: Path) -> None:
        found = cluster.locate(directory)
        server = launcher.ensure(directory)
        assert probes.is_present(found)

        kill(server.pid)

        wait_until(lambda: not probes.is_present(found))

    def test_does_not_depend_on_the_process_that_started_it(self, directory: Path) -> None:
        pid = int(run_python(ENSURE, directory).stdout)

        assert launcher.ensure(directory, "site").pid == pid
