"""Looking costs nothing: no torch until a model is needed."""

import subprocess
import sys

import pytest

HEAVY = {"torch", "transformers", "trl", "peft", "datasets", "accelerate", "sympy", "scipy"}


@pytest.mark.parametrize(
    "command",
    [
        "import presrm",
        "import presrm; presrm.Problem; presrm.Judge; presrm.load_config('embedded'); presrm.PromptSet('compact')",
        "from presrm.cli import main; main(['--help'])",
        "from presrm.cli import main; main(['train', '--help'])",
        "from presrm.cli import main; main(['config', 'list'])",
        "from presrm.cli import main; main(['trian'])",
        "import presrm.splitters, presrm.judges, presrm.searchers, presrm.graders, presrm.problems, presrm.engines",
    ],
)
def test_nothing_heavy_is_loaded(command):
    program = f"""
import sys
try:
    exec({command!r})
except SystemExit:
    pass
print(*({HEAVY!r} & set(sys.modules)), file=sys.stderr)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stderr.splitlines()[-1] == ""
