"""Hostile or damaged inputs end in one readable line: nothing lost, believed or written elsewhere, no key told."""

import os
import shlex
from pathlib import Path

import pytest
from hostile_inputs import CASES, KEY

SECRETS = (KEY.strip(), "hunter2")


def contents(folder: Path) -> dict[Path, bytes | str]:
    """Every file of a folder, and where links lead."""
    return {
        path: str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_ends_in_one_readable_line(case, run, tmp_path, monkeypatch):
    (tmp_path / "outside.txt").write_text("mine")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    (work / "outside.txt").write_text("mine")
    for name, content in case.files.items():
        path = work / name
        if isinstance(content, str | bytes):
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        else:
            content(path)
    for name, value in case.env.items():
        monkeypatch.setenv(name, value)
    before = contents(tmp_path)

    ended = run(*shlex.split(case.command))

    assert ended.code == case.code, ended.err
    [told] = [text for text in ended.err.splitlines() if text.startswith("presrm: ")][-1:]
    assert case.told in told
    assert ended.err.endswith(f"{told}\n")
    assert told.isprintable()
    assert "unexpected" not in told
    assert "Traceback" not in ended.err
    assert not any(secret in ended.err + ended.out for secret in SECRETS)
    after = contents(tmp_path)
    assert {path: after.get(path) for path in before} == before
    assert all(path.is_relative_to(work) for path in after.keys() - before.keys())
    assert not any(secret.encode() in text for text in after.values() if isinstance(text, bytes) for secret in SECRETS)


def test_the_table_is_long_and_names_each_case_once():
    names = [case.name for case in CASES]
    assert len(names) == len({*names})
    assert len(names) >= 150
    assert os.sep not in "".join(names)
