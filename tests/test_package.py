"""The release: sdist and wheel are built, and the wheel installs and works where nothing but its dependencies is."""

import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

import presrm

ROOT = Path(__file__).parent.parent


def run(*command: object, cwd: Path) -> str:
    """Run a command without the environment's own way to the sources; give what it prints."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ended = subprocess.run([*map(str, command)], cwd=cwd, env=env, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist, and the wheel that is made from it."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    [sdist], [wheel] = out.glob("*.tar.gz"), out.glob("*.whl")
    return sdist, wheel


def test_one_version_stands_everywhere(built: tuple[Path, Path]) -> None:
    version = presrm.__version__
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    assert f"version = {{{version}}}" in (ROOT / "README.md").read_text()
    releases = re.findall(r"^## \[(\d[^]]*)\] - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert releases[0] == version
    assert [path.name for path in built] == [f"presrm-{version}.tar.gz", f"presrm-{version}-py3-none-any.whl"]


def test_they_hold_what_belongs_there_and_nothing_else(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[1]) as wheel:
        names = set(wheel.namelist())
        [metadata] = [wheel.read(name).decode() for name in names if name.endswith(".dist-info/METADATA")]
    package = {path.relative_to(ROOT).as_posix() for path in (ROOT / "presrm").rglob("*") if path.is_file()}
    package = {name for name in package if "__pycache__" not in name}
    prompts = {f"presrm/_prompts/{path.relative_to(ROOT / 'prompts')}" for path in (ROOT / "prompts").rglob("*.j*")}
    assert {"presrm/py.typed", "presrm/embedded/model.safetensors", "presrm/configs/embedded.yaml"} <= names
    assert prompts
    assert package | prompts <= names
    assert {name.split("/")[0] for name in names} == {"presrm", f"presrm-{presrm.__version__}.dist-info"}
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "Requires-Python: >=3.11" in metadata
    assert "Classifier: Typing :: Typed" in metadata
    with tarfile.open(built[0]) as sdist:
        inside = {name.partition("/")[2].split("/")[0] for name in sdist.getnames()}
    assert {"presrm", "prompts", "tests", "docs", "README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml"} <= inside
    assert not inside & {".venv", "runs", "build", "dist", ".git", ".ci"}


def test_the_wheel_works_in_an_environment_of_its_own(built: tuple[Path, Path], tmp_path: Path) -> None:
    """Its dependencies are those of this environment: nothing is fetched."""
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv/bin/python"
    [packages] = (tmp_path / "venv/lib").glob("python*/site-packages")
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", built[1], cwd=tmp_path)
    ours = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "dependencies.pth").write_text("\n".join(ours) + "\n")

    where = run(python, "-c", "import presrm; print(presrm.__file__)", cwd=tmp_path).strip()
    assert Path(where).is_relative_to(packages)
    command = tmp_path / "venv/bin/presrm"
    assert run(command, "--version", cwd=tmp_path) == f"presrm {presrm.__version__}\n"
    assert "judge-steps" in run(command, "--help", cwd=tmp_path)
    solved = run(command, "solve", "Tom has 3 cups. Tom buys 4. How many cups does Tom have?", cwd=tmp_path)
    assert "####" in solved
