"""Run commands in this process: what a person types, and what comes back."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

import presrm.assembly.evaluation
import presrm.assembly.parts
import presrm.assembly.probe  # noqa: F401 (before a test puts something in the place of what they import)
from presrm.cli import main


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Give a function that runs ``presrm ARGUMENTS``."""

    def run(*arguments: object) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_info:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ended(int(exit_info.value.code or 0), captured.out, captured.err)

    return run
