"""Every verb explains itself, and the help of all names each with the first line of its own."""

import re

import pytest
from typer.main import get_command

from presrm.cli import app

VERBS = {name: command.help.splitlines()[0] for name, command in get_command(app).commands.items()}


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_explains_itself(run, name):
    ended = run(name, "--help")
    assert ended.code == 0
    assert VERBS[name].removesuffix(".") in " ".join(ended.out.split())


def test_the_help_lists_every_verb_with_its_line(run):
    lines = re.findall(r"^  ([a-z-]+)  +(.+)$", run("--help").out.partition("Commands:")[2], re.MULTILINE)
    assert dict(lines).keys() == VERBS.keys()
    for name, line in lines:
        assert VERBS[name].startswith(line.rstrip("."))
