"""Rows from outside may be anything; values of our own come back equal."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presrm.errors import DataError
from presrm.jsonl import BadRow, Row, dump, dump_row, load_typed, read_rows
from presrm.types import Expansion, Judgement, PreferencePair, Problem, SearchTree, Status, Step, Stop, Trajectory

texts = st.text(st.characters())  # control characters and lone surrogates included
steps = st.builds(Step, texts, st.none() | st.lists(st.integers(0, 10**6)).map(tuple))
problems = st.builds(Problem, texts, texts, st.none() | texts, st.none() | texts)
stops = st.none() | st.sampled_from(Stop)
judgements = st.one_of(
    st.builds(Judgement, st.floats(0, 1), st.just(Status.OK), texts),
    st.builds(Judgement, st.none(), st.sampled_from([s for s in Status if s is not Status.OK]), texts),
)
pairs = st.builds(
    PreferencePair,
    texts,
    st.builds(Trajectory, problems, st.lists(steps, max_size=3).map(tuple), stops),
    steps,
    steps,
    st.floats(0, 1),
    stops,
    stops,
)
numbers = st.tuples(st.integers(0, 9), st.integers(0, 9))
expansions = st.builds(
    Expansion,
    st.none() | numbers,
    st.lists(steps, max_size=3).map(tuple),
    st.lists(stops, max_size=3).map(tuple),
    st.lists(judgements, max_size=3).map(tuple),
    st.lists(st.integers(0, 5), max_size=2).map(tuple),
)
trees = st.builds(
    SearchTree,
    problems,
    st.lists(expansions, max_size=3).map(tuple),
    st.lists(numbers, max_size=2).map(tuple),
    st.lists(st.integers(0, 9), max_size=2).map(tuple),
    st.none() | texts,
)


def written(folder: Path, *lines: bytes) -> Path:
    path = folder / "rows.jsonl"
    path.write_bytes(b"\n".join(lines))
    return path


@given(value=trees | pairs)
def test_values_of_our_own_come_back_equal(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    path.write_bytes(f"{dump(value)}\n".encode())
    assert list(load_typed(type(value), path)) == [value]
    assert dump(value) == dump(next(load_typed(type(value), path)))


def test_good_rows_keep_their_line_and_blank_lines_are_none(tmp_path: Path) -> None:
    path = written(tmp_path, b'\xef\xbb\xbf{"a": 1}', b"", b"  ", b'{"a": 2}\r')
    assert list(read_rows(path)) == [Row(1, {"a": 1}), Row(4, {"a": 2})]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a": 1,}', "malformed JSON at column"),
        (b'{"a": "\xff"}', "invalid UTF-8 at byte 8"),
        (b"[1]", "expected an object, found list"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": 1e999}', "too large"),
        (b"[" * 100_000, "deep"),
        (b'{"a": "' + b"x" * 200_000 + b'"}', "longer than 150000 bytes"),
    ],
)
def test_a_bad_row_is_data_with_a_reason_and_its_neighbours_are_read(tmp_path: Path, line: bytes, reason: str) -> None:
    found = list(read_rows(written(tmp_path, b'{"a": 0}', line, b'{"a": 2}'), max_line_bytes=150_000))
    assert [found[0], found[2]] == [Row(1, {"a": 0}), Row(3, {"a": 2})]
    assert isinstance(found[1], BadRow)
    assert found[1].line == 2
    assert reason in found[1].reason
    assert len(found[1].text) <= 200


@pytest.mark.parametrize("content", [b"", b"\n\n  \n"])
def test_an_empty_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match=r"rows\.jsonl is empty"):
        list(read_rows(written(tmp_path, content)))


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file .*nowhere\.jsonl"):
        list(read_rows(tmp_path / "nowhere.jsonl"))
    with pytest.raises(DataError, match="is a folder"):
        list(read_rows(tmp_path))


def test_a_wrong_field_is_named_with_file_and_line(tmp_path: Path) -> None:
    path = written(tmp_path, dump(Problem("1", "q")).encode(), b'{"id": "2", "question": 7}')
    with pytest.raises(DataError, match=r"rows\.jsonl, line 2, question: .*string"):
        list(load_typed(Problem, path))


@given(value=st.dictionaries(texts, texts | st.integers() | st.none()))
def test_a_written_row_is_one_line_of_utf8(value: dict[str, object]) -> None:
    line = dump_row(value)
    assert line.count(b"\n") == 1
    assert json.loads(line.decode()) == value
