"""Rows from outside may be anything; values of our own come back equal."""

import io
import json
import re
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presrm.errors import DataError
from presrm.files.jsonl import BadRow, Row, dump, dump_row, load_typed, read_rows
from presrm.types import (
    Candidate,
    Expansion,
    Judgement,
    PreferencePair,
    Problem,
    SearchTree,
    Status,
    Step,
    Stop,
    Trajectory,
)

HARD_TEXTS = ["\ud800", "\udfffx", "\U0001f600\ud83d", "\x00\x1f\x7f\x85", "\u2028\u2029", '\\u"\\', "\ufeff", "\r\n"]
"""Lone surrogates, control characters, line ends that are none in JSON Lines."""

# A high surrogate before a low one is, in JSON, the one character that the two stand for.
texts = st.sampled_from(HARD_TEXTS) | st.text(st.characters()).filter(
    lambda text: not re.search("[\ud800-\udbff][\udc00-\udfff]", text)
)
stops = st.none() | st.sampled_from(Stop)
steps = st.builds(Step, texts, st.none() | st.lists(st.integers(0, 10**6)).map(tuple), stops)
problems = st.builds(Problem, texts, texts, st.none() | texts, st.none() | texts)
judgements = st.one_of(
    st.builds(Judgement, st.floats(0, 1), st.just(Status.OK), texts),
    st.builds(Judgement, st.none(), st.sampled_from([s for s in Status if s is not Status.OK]), texts),
)
pairs = st.builds(
    PreferencePair,
    texts,
    st.builds(Trajectory, problems, st.lists(steps, max_size=3).map(tuple)),
    steps,
    steps,
    st.floats(0, 1),
)
numbers = st.tuples(st.integers(0, 9), st.integers(0, 9))
expansions = st.builds(
    Expansion,
    st.none() | numbers,
    st.lists(st.builds(Candidate, steps, judgements, st.none() | st.floats(0, 1)), max_size=3).map(tuple),
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


@pytest.mark.parametrize("text", HARD_TEXTS, ids=ascii)
def test_hard_texts_come_back_equal(tmp_path: Path, text: str) -> None:
    value = Problem(text, text, text, text)
    path = written(tmp_path, dump(value).encode(), dump(value).encode())
    assert list(load_typed(Problem, path)) == [value, value]


def test_two_halves_of_a_surrogate_pair_come_back_as_their_character(tmp_path: Path) -> None:
    path = written(tmp_path, dump(Problem("1", "\ud83d\ude00")).encode())
    assert next(load_typed(Problem, path)).question == "\U0001f600"


def test_good_rows_keep_their_line_and_blank_lines_are_none(tmp_path: Path) -> None:
    path = written(tmp_path, b'\xef\xbb\xbf{"a": 1}', b"", b"  ", b'{"a": 2}\r')
    assert list(read_rows(path)) == [Row(1, {"a": 1}), Row(4, {"a": 2})]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a": 1,}', "malformed JSON at column"),
        (b'{"question": "x", ', "malformed JSON at column 19"),
        (b'{"a": 1, "a": 2}', "'a' stands there twice"),
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


def test_a_line_of_more_than_ten_megabytes_is_skipped_without_being_held(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with path.open("wb") as file:
        file.write(b'{"a": 0}\n{"a": "')
        for _ in range(200):
            file.write(b"x" * 1_000_000)
        file.write(b'"}\n{"a": 2}\n')
    tracemalloc.start()
    try:
        found = list(read_rows(path))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [found[0], found[2]] == [Row(1, {"a": 0}), Row(3, {"a": 2})]
    assert isinstance(found[1], BadRow)
    assert found[1].reason == "longer than 10000000 bytes"
    assert peak < 60_000_000


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_line_of_just_the_limit_is_read(tmp_path: Path, end: bytes) -> None:
    line = b'{"a": "xyz"}'
    path = tmp_path / "rows.jsonl"
    path.write_bytes(line + end)
    assert list(read_rows(path, max_line_bytes=len(line))) == [Row(1, {"a": "xyz"})]
    assert isinstance(next(read_rows(path, max_line_bytes=len(line) - 1)), BadRow)


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b'{"a": 1}\n')))
    assert list(read_rows("-")) == [Row(1, {"a": 1})]
    with pytest.raises(DataError, match="standard input is empty"):
        list(read_rows("-"))


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


def test_a_row_that_contradicts_itself_is_named_as_a_whole(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"rows\.jsonl, line 1, the row: .*contradicts"):
        list(load_typed(Judgement, written(tmp_path, b'{"score": null}')))


@given(value=st.dictionaries(texts, texts | st.integers() | st.none()))
def test_a_written_row_is_one_line_of_utf8(value: dict[str, object]) -> None:
    line = dump_row(value)
    assert line.count(b"\n") == 1
    assert json.loads(line.decode()) == value
