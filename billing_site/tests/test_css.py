"""The stylesheet that is committed is the one that the templates need."""

import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

TAILWIND = Path(sys.executable).with_name("tailwindcss")
SOURCE = settings.BASE_DIR / "billing_site/styles/site.css"
COMMITTED = settings.BASE_DIR / "billing_site/static/site.css"


@pytest.mark.skipif(
    not TAILWIND.exists(), reason="tailwindcss is missing: pip install -r requirements-dev.txt"
)
def test_the_committed_stylesheet_is_up_to_date(tmp_path: Path) -> None:
    built = tmp_path / "site.css"
    command = [TAILWIND, "--input", SOURCE, "--output", built, "--minify"]
    subprocess.run(command, cwd=settings.BASE_DIR, check=True, capture_output=True, timeout=60)
    assert built.read_text() == COMMITTED.read_text(), "run `make css` and commit the result"
