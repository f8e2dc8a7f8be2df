"""Runs of the embedded policy, damaged, on a full disk or started twice: nothing is lost, and nothing is believed."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml
from embedded_runs import METHODS, Kill, checkpoints_in, config_of, start
from scripted_run import bytes_of

from presrm.assembly import runs
from presrm.errors import RunError
from presrm.methods.parts import SilentProgress

pytestmark = pytest.mark.slow
Runs = Callable[[str], tuple[Path, Path]]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Runs:
    """A run that nobody stopped, and one that was killed with an artefact half made."""

    @cache
    def make(method: str) -> tuple[Path, Path]:
        folder = tmp_path_factory.mktemp(method)
        start(config_of(method), folder / "whole")
        assert start(config_of(method), folder / "half", Kill(half_made=half_made(method))).was_killed
        return folder / "whole", folder / "half"

    return make


def half_made(method: str) -> str:
    return {"rlsr": "2/rounds/1/trees.jsonl", "spct": "2/answers.jsonl"}.get(method, "2/trees.jsonl")


def resume(method: str, out: Path) -> dict[str, bytes]:
    runs.train(config_of(method), out, SilentProgress())
    return bytes_of(out)


@pytest.fixture(params=METHODS)
def method(request) -> str:
    return request.param


@pytest.fixture
def half(method: str, made: Runs, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made(method)[1], tmp_path / "run"))


@pytest.fixture
def expected(method: str, made: Runs) -> dict[str, bytes]:
    return bytes_of(made(method)[0])


def test_torn_lines_are_cut(method, half, expected):
    for name in (f"iterations/{half_made(method)}", "metrics.jsonl"):
        with (half / name).open("a") as file:
            file.write('{"problem": {"id": "torn')
    assert resume(method, half) == expected
    assert "torn" not in (half / "metrics.jsonl").read_text()


def test_a_flipped_byte_and_a_missing_file_are_named_and_what_is_restored_is_resumed(method, half, expected):
    unfinished, finished = half / "iterations" / half_made(method), half / "iterations/1/answers.jsonl"
    for path in (unfinished, finished):
        data = path.read_bytes()
        for other in (data[:-9] + bytes([data[-9] ^ 1]) + data[-8:], data[:-30]):
            path.write_bytes(other)
            with pytest.raises(RunError, match=f"{path} is not what the run wrote"):
                resume(method, half)
            assert path.read_bytes() == other
        path.write_bytes(data)
    finished.rename(half / "away")
    with pytest.raises(RunError, match=f"{finished} is not what the run wrote"):
        resume(method, half)
    (half / "away").rename(finished)
    assert resume(method, half) == expected


def test_an_unfinished_artefact_that_was_deleted_is_made_anew(method, half, expected, caplog):
    (half / "iterations" / half_made(method)).unlink()
    assert resume(method, half) == expected
    assert "is gone, before it was finished: it is made anew" in caplog.text


@pytest.fixture
def in_training(method: str, half: Path) -> tuple[Path, Path]:
    """A run that was killed while it trained, and its checkpoint."""
    assert start(config_of(method), half, Kill(training=True)).was_killed
    (stored,) = checkpoints_in(half)
    return half, stored


@pytest.mark.parametrize("is_whole", [True, False], ids=["beside a whole one", "alone"])
def test_checkpoints_that_lie_about_are_not_believed(method, in_training, expected, is_whole, caplog):
    run, stored = in_training
    name, data = stored.stem.rpartition("-")[0], stored.read_bytes()
    damaged = {f"{name}-{'0' * 16}": data, f"{name}-{'1' * 16}": b"", f"{name}-{'2' * 16}": data[:-9]}
    if not is_whole:
        damaged[stored.stem] = data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]
    for stem, content in damaged.items():
        stored.with_name(f"{stem}.safetensors").write_bytes(content)
    stored.with_name(f"{'f' * 16}-00000001-{'3' * 16}.safetensors").write_bytes(data)
    stored.with_name(f"{name}-{'4' * 16}.safetensors").mkdir()
    with stored.with_name(f"{name}-{'5' * 16}.safetensors").open("wb") as file:
        file.truncate(1 << 40)
    caplog.set_level("INFO", "presrm")

    assert resume(method, run) == expected

    assert ("training resumes behind optimiser step" in caplog.text) == is_whole
    assert f"{'f' * 16}-00000001-{'3' * 16}.safetensors is of another training, and is not used" in caplog.text
    if not is_whole:
        assert caplog.text.count("is not what was written there, and is not used") == len(damaged) + 2


def test_a_checkpoint_that_is_a_link_is_refused_and_nothing_is_lost(method, in_training, expected, tmp_path):
    run, stored = in_training
    data = stored.read_bytes()
    elsewhere = stored.rename(tmp_path / "elsewhere")
    stored.symlink_to(elsewhere)
    with pytest.raises(RunError, match=f"{stored} is a symbolic link, and nothing is written through one"):
        resume(method, run)
    assert elsewhere.read_bytes() == data
    elsewhere.rename(stored)
    assert resume(method, run) == expected


def command(method: str, out: Path, config: Path) -> list[str]:
    settings = yaml.safe_dump(config_of(method).model_dump(mode="json"), sort_keys=False)
    config.write_text(settings)
    return [sys.executable, "-m", "presrm", "train", str(config), "--out", str(out)]


def test_of_two_that_start_at_once_one_does_the_work(method, half, expected, tmp_path):
    both = [
        subprocess.Popen(command(method, half, tmp_path / "c.yaml"), stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = [process.communicate()[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 1], told
    [refused] = [text for text, process in zip(told, both, strict=True) if process.returncode]
    assert f"is working on {half}" in refused
    assert bytes_of(half) == expected


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A file system of a given size, which may be set anew."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def resize(size: str) -> Path:
        options = f"{'remount,' * folder.is_mount()}size={size}"
        ended = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=False, capture_output=True
        )
        if ended.returncode:
            pytest.skip("a file system may not be mounted here")
        return folder

    yield resize
    if folder.is_mount():
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_loses_nothing(method, made, expected, small_disk, tmp_path):
    """Full at once, while groups are worked, and while the policy is saved."""
    out = small_disk("4k") / "run"
    for size in ("4k", "48k", "4m"):
        small_disk(size)
        ended = subprocess.run(
            command(method, out, tmp_path / "c.yaml"), check=False, capture_output=True, text=True, timeout=900
        )
        assert ended.returncode == 1, ended.stderr
        assert "presrm: the disk is full; nothing already computed is lost" in ended.stderr.splitlines()[-1]
    small_disk("200m")
    assert resume(method, out) == expected
