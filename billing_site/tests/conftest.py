"""What the tests in a browser share."""

import shutil
from typing import Any

import pytest


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Debian's Chromium or Google's, not one that Playwright would have to download."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("Chromium is missing: apt install chromium")
    return {**browser_type_launch_args, "executable_path": program}


@pytest.fixture
def hosts(live_server) -> list[str]:
    """What pages may ask."""
    return [live_server.url]
