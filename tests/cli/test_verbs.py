"""The table of verbs says what their functions say, and looking at it imports none of them."""

import subprocess
import sys

import pytest

from presrm.cli.verbs import VERBS, load_verb


@pytest.mark.parametrize("name", VERBS)
def test_the_table_has_the_first_line_of_the_help(name):
    command = load_verb(name)
    assert command.name == name
    assert command.help.splitlines()[0] == VERBS[name][1]


def test_the_help_lists_every_verb_with_its_line(run):
    out = " ".join(run("--help").out.split())
    for name, (_, summary) in VERBS.items():
        assert f"{name} {summary.removesuffix('.')}" in out


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["--help"], {"pydantic", "rich", "yaml", "jinja2", "numpy", "presrm.config", "presrm.cli.train"}),
        (["--version"], {"rich", "presrm.config"}),
        (["split", "--solution", "a"], {"torch", "scipy", "transformers", "presrm.cli.train"}),
    ],
)
def test_a_verb_imports_no_more_than_it_needs(arguments, absent):
    program = f"""
import sys
from presrm.cli import main
try:
    main({arguments!r})
except SystemExit:
    pass
print(*({absent!r} & set(sys.modules)), file=sys.stderr)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stderr.splitlines()[-1] == ""


def test_groups_have_verbs_of_their_own(run):
    assert "embedded" in run("config", "list").out
    ended = run("config", "lst")
    assert (ended.code, "did you mean 'list'" in ended.err) == (2, True)
