"""Runs a management command and keeps what it says."""

from dataclasses import dataclass
from io import StringIO
from typing import Any

from django.core.management import CommandError, call_command


@dataclass(frozen=True)
class Ran:
    """What a command printed; `refusal` is the sentence that it ended with, if it failed."""

    output: str
    errors: str
    refusal: str

    @property
    def summary(self) -> str:
        return self.output.splitlines()[-1]


def run_command(name: str, *arguments: Any) -> Ran:
    output, errors, refusal = StringIO(), StringIO(), ""
    try:
        call_command(name, *map(str, arguments), stdout=output, stderr=errors)
    except CommandError as error:
        refusal = str(error)
    return Ran(output.getvalue(), errors.getvalue(), refusal)
