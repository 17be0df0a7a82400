"""The documentation holds: its commands run, its settings, checks, commands and links exist."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import get_commands

from billing_site.sandbox import screenshots
from generation.tests.misbehaving_server import MisbehavingServer

ROOT = Path(settings.BASE_DIR)
DOCS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "*/README.md", "benchmarks/*.md")
    for path in ROOT.glob(pattern)
)
OURS = ("billing_site", "credits", "generation")
NOT_COPIED = shutil.ignore_patterns(".*", "var", "screenshots")
PYTHON = r"\.venv/bin/python"
PREPARE = """
from django.core.management import call_command
from django.utils import timezone
from billing_site.sandbox import demo
call_command("migrate", verbosity=0)
demo.make_people(now=timezone.now())
"""


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def commands_in(path: Path) -> list[str]:
    """Every command line of the ```sh blocks, `a && b` taken apart."""
    blocks = re.findall(r"^```sh\n(.*?)^```", path.read_text(), re.M | re.S)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [part for line in lines for part in line.split(" && ") if part.strip()]


COMMANDS = {name_of(path): commands_in(path) for path in DOCS if commands_in(path)}


@dataclass
class Checkout:
    """A copy of the project with the commands' own `var/`; the environment is a link to ours."""

    directory: Path
    environment: dict[str, str]
    done: dict[str, subprocess.CompletedProcess[str]] = field(default_factory=dict)

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """What becomes of the command. One that several documents name is run once."""
        if command not in self.done:
            self.done[command] = self._run(command)
        return self.done[command]

    def _run(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", command], cwd=self.directory, env=self.environment, timeout=300,
            capture_output=True, text=True, check=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Iterator[Checkout]:
    directory = tmp_path_factory.mktemp("docs") / "billing_site"
    shutil.copytree(ROOT, directory, ignore=NOT_COPIED)
    (directory / ".venv").symlink_to(sys.prefix)
    read_by_us = {*variables_in_settings(), "DJANGO_SETTINGS_MODULE"}
    inherited = {name: value for name, value in os.environ.items() if name not in read_by_us}
    with MisbehavingServer() as model:
        copy = Checkout(directory, {**inherited, "GENERATION_BASE_URL": model.base_url})
        succeeds(copy, f".venv/bin/python manage.py shell -v 0 -c '{PREPARE}'")
        yield copy
        copy.run(".venv/bin/python manage.py embedded_postgres stop")


# Commands that are not simply run. Each says why, and looks at something else instead. -----------


def in_ci(text: str) -> bool:
    return text in (ROOT / ".ci/run").read_text()


def makes_the_environment(copy: Checkout, command: str) -> None:
    """It takes a minute and the network: .ci/run does it from nothing."""
    assert in_ci("python3 -m venv .venv")
    assert in_ci(".venv/bin/pip install -q -r requirements-dev.txt")
    assert "-r requirements.txt" in (ROOT / "requirements-dev.txt").read_text()


def runs_until_ctrl_c(copy: Checkout, command: str) -> None:
    """test_quickstart.py does this and more, and .ci/run with the real model."""
    assert in_ci("manage.py quickstart --check")


def reaches_pytest(copy: Checkout, command: str) -> None:
    """The tests are running just now: it is enough that pytest and the files are there."""
    *_, last = command.split()
    assert not last.endswith(".py") or (ROOT / last).exists()
    done = copy.run(f"{command} --version")
    assert (done.returncode, done.stdout[:7]) == (0, "pytest "), done.stdout + done.stderr


def needs_mariadb(copy: Checkout, command: str) -> None:
    """A server that not everybody has. Where there is one, the tests run on it too."""
    assert (ROOT / command.split()[-1]).exists()
    assert in_ci("-m credits.tests.mariadb")


def checks_the_source(copy: Checkout, command: str) -> None:
    """Linters and types of the whole project: a step of .ci/run."""
    assert in_ci(f"\n{command}\n")


def takes_pictures(copy: Checkout, command: str) -> None:
    """Needs Chromium and changes files that are committed."""
    taken = {f"{picture.name}.png" for picture in screenshots.PICTURES}
    assert {path.name for path in (ROOT / "docs/screenshots").iterdir()} == taken


def measures(copy: Checkout, command: str) -> None:
    """It takes minutes on a quiet machine: here it only has to start and know its options."""
    module, *options = command.split(" --")
    help_text = copy.run(f"{module} --help").stdout
    assert all(f"--{option.split()[0]} " in help_text for option in options), help_text


def has_to_fail(copy: Checkout, command: str) -> None:
    """The code without the lock: documented to end with 1."""
    done = copy.run(command)
    assert (done.returncode, "as they have to" in done.stderr) == (1, True), done.stderr


def needs_stripe(copy: Checkout, command: str) -> None:
    """Without a key it says what is missing. Against the sandbox, test_reconcile.py runs it."""
    done = copy.run(command)
    assert (done.returncode, "STRIPE_SECRET_KEY is not set" in done.stderr) == (2, True), done


def succeeds(copy: Checkout, command: str) -> None:
    done = copy.run(command)
    assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"


SPECIAL: dict[str, Callable[[Checkout, str], None]] = {
    r"python3 -m venv \.venv": makes_the_environment,
    r"\.venv/bin/pip install -r requirements(-dev)?\.txt": makes_the_environment,
    rf"{PYTHON} manage\.py quickstart": runs_until_ctrl_c,
    rf"{PYTHON} (manage\.py test|-m pytest)( [\w/.]+)?": reaches_pytest,
    rf"{PYTHON} -m credits\.tests\.mariadb -m pytest [\w/.]+": needs_mariadb,
    r"make check": checks_the_source,
    rf"{PYTHON} manage\.py screenshots": takes_pictures,
    rf"{PYTHON} -m benchmarks\.\w+( --\w+ \d+)+": measures,
    rf"{PYTHON} manage\.py prove_atomicity --naive( +#.*)?": has_to_fail,
    rf"{PYTHON} manage\.py reconcile_stripe( --days 7)?( --apply)?": needs_stripe,
}


@pytest.mark.parametrize("document", COMMANDS)
def test_every_command_runs(checkout: Checkout, document: str) -> None:
    for command in COMMANDS[document]:
        way = (do for pattern, do in SPECIAL.items() if re.fullmatch(pattern, command.strip()))
        next(way, succeeds)(checkout, command)


def test_every_special_way_is_still_needed() -> None:
    commands = [command.strip() for found in COMMANDS.values() for command in found]
    for pattern in SPECIAL:
        assert any(re.fullmatch(pattern, command) for command in commands), pattern


def test_readme_begins_with_two_commands() -> None:
    first, second = re.findall(
        r"^```sh\n(.*?)\n```", (ROOT / "README.md").read_text(), re.M | re.S
    )[:2]
    assert first.endswith("manage.py quickstart")
    assert second.endswith("manage.py test")


# Names in the documentation -----------------------------------------------------------------------


def text_of(*paths: Path) -> str:
    return "\n".join(path.read_text() for path in paths)


def variables_in_settings() -> set[str]:
    source = (ROOT / "billing_site/settings.py").read_text()
    return set(re.findall(r"""(?:env\.\w+|read_\w+)\(\s*(?:env,\s*)?"([A-Z_]+)\"""", source))


def test_every_variable_is_documented_and_no_other() -> None:
    page = (ROOT / "docs/settings.md").read_text().partition("## System checks")[0]
    example = (ROOT / ".env.example").read_text()
    assert len(variables_in_settings()) > 10
    assert set(re.findall(r"^\| `([A-Z_]+)`", page, re.M)) == variables_in_settings()
    assert set(re.findall(r"^#?([A-Z_]+)=", example, re.M)) == variables_in_settings()


def test_every_check_is_documented_and_no_other() -> None:
    identifier = r"\bbilling_site\.[EW]\d{3}\b"
    source = set(re.findall(identifier, (ROOT / "billing_site/checks.py").read_text()))
    page = re.findall(rf"^\| `({identifier})`", (ROOT / "docs/settings.md").read_text(), re.M)
    assert len(page) == len(set(page))
    assert set(page) == source


def test_every_command_of_ours_is_mentioned() -> None:
    ours = {app.name for app in apps.get_app_configs() if app.name.split(".")[0] in OURS}
    commands = [name for name, app in get_commands().items() if app in ours]
    documents = text_of(*DOCS)
    assert "quickstart" in commands
    assert [name for name in commands if f"manage.py {name}" not in documents] == []


def test_every_mentioned_command_exists() -> None:
    mentioned = set(re.findall(r"manage\.py ([a-z_]+)", text_of(*DOCS, ROOT / ".ci/run")))
    assert mentioned - set(get_commands()) == set()


@pytest.mark.parametrize("path", DOCS, ids=name_of)
def test_every_link_leads_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", path.read_text())
    local = [target for target in targets if not re.match(r"[a-z]+:", target)]
    assert [target for target in local if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("path", DOCS, ids=name_of)
def test_no_document_names_a_path_of_this_machine(path: Path) -> None:
    places = {"/root/", "/home/", "/Users/", f"{Path.home()}/", f"{ROOT}/", f"{ROOT.parent}/"}
    assert [place for place in places - {"//", "/"} if place in path.read_text()] == []
