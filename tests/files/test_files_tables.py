"""Rows come out the same whatever the table is written in; what cannot be read is told by its place."""

import csv
import json
import tracemalloc
from contextlib import suppress
from datetime import date
from decimal import Decimal
from itertools import islice

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from presrm.errors import DataError
from presrm.files import tables
from presrm.files.jsonl import BadRow, Row
from presrm.files.tables import count_rows, read_table

ROWS = [
    {"id": "a", "problem": "1 + 1?", "steps": ["1 + 1 = 2", 'so\n"2", é'], "label": -1},
    {"id": "b", "problem": "2 + 2,\n3?", "steps": ["2 + 2 = 5"], "label": 0},
    {"id": "c", "problem": "?", "steps": ["x"], "label": None},
]


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def write_json(path, rows):
    path.write_text(json.dumps(rows, indent=2, ensure_ascii=False), "utf-8")


def write_csv(path, rows):
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows({**row, "steps": json.dumps(row["steps"], ensure_ascii=False)} for row in rows)


def write_parquet(path, rows):
    parquet.write_table(pa.Table.from_pylist(rows), path)


WRITERS = {".jsonl": write_jsonl, ".json": write_json, ".csv": write_csv, ".parquet": write_parquet}


def table(folder, suffix, rows=ROWS):
    path = folder / f"rows{suffix}"
    WRITERS[suffix](path, rows)
    return path


def read(folder, name, content):
    path = folder / name
    path.write_bytes(content)
    return list(read_table(path))


@pytest.mark.parametrize("suffix", WRITERS)
def test_all_formats_give_the_same_rows(tmp_path, suffix):
    path = table(tmp_path, suffix)
    assert list(read_table(path)) == [Row(i, row) for i, row in enumerate(ROWS, 1)]
    assert list(read_table(path, start=3)) == [Row(3, ROWS[2])]
    assert count_rows(path) == 3


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_missing_or_empty_file_and_a_folder_are_refused_by_name(tmp_path, suffix):
    path = tmp_path / f"rows{suffix}"
    for work in (lambda: list(read_table(path)), lambda: count_rows(path)):
        with pytest.raises(DataError, match="no file"):
            work()
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"rows\."):
        count_rows(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match="folder"):
        count_rows(path)


@pytest.mark.parametrize("suffix", WRITERS)
def test_half_a_file_is_read_or_refused(tmp_path, suffix):
    path = table(tmp_path, suffix)
    whole = path.read_bytes()
    for size in range(0, len(whole), max(1, len(whole) // 40)):
        path.write_bytes(whole[:size])
        with suppress(DataError):
            assert all(isinstance(row, Row | BadRow) for row in read_table(path))


@given(
    values=st.lists(st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.text()))), indent=st.booleans()
)
def test_a_json_list_gives_what_json_gives(tmp_path_factory, values, indent):
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(values, indent=1 if indent else None), "utf-8")
    if values:
        assert [row.value for row in read_table(path)] == values
    else:
        with pytest.raises(DataError, match="no row"):
            list(read_table(path))


def test_elements_of_a_json_list_may_stand_across_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_CHUNK", 7)
    assert [row.value for row in read_table(table(tmp_path, ".json"))] == ROWS


def test_a_bad_element_of_a_json_list_is_set_aside_alone(tmp_path):
    found = read(tmp_path, "rows.json", b'[{"a": 1}, 12, {"a": "\xff"}, {"a": NaN}, {"a": 2}]')
    assert [row.value for row in found if isinstance(row, Row)] == [{"a": 1}, {"a": 2}]
    reasons = [(row.line, row.reason) for row in found if isinstance(row, BadRow)]
    assert [line for line, _ in reasons] == [2, 3, 4]
    assert [word in reason for word, (_, reason) in zip(("int", "UTF-8", "NaN"), reasons, strict=True)] == [True] * 3


@pytest.mark.parametrize("content", [b'[{"a": 1} {"a": 2}]', b'[{"a": 1}, {"a"', b'[{"a": 1},]', b"[" * 100_000])
def test_a_json_list_that_is_malformed_says_in_which_row(tmp_path, content):
    with pytest.raises(DataError, match=r"rows\.json: row [12] is malformed JSON"):
        read(tmp_path, "rows.json", content)


@pytest.mark.parametrize("behind", [b'[{"a": 2}]', b" x", b"\n]", b" " * (1 << 19) + b"{}", b"\0"])
def test_what_stands_behind_a_json_list_is_refused_and_not_passed_over(tmp_path, behind):
    with pytest.raises(DataError, match=r"rows\.json: expected a single JSON list, found .* behind its end"):
        read(tmp_path, "rows.json", b'[{"a": 1}]' + behind)
    assert read(tmp_path, "rows.json", b'[{"a": 1}]\r\n' + b" " * (1 << 19)) == [Row(1, {"a": 1})]


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl"])
def test_a_row_that_has_a_key_twice_is_set_aside(tmp_path, name):
    content = b'{"a": {"b": 1, "c": 2, "b": 3}}'
    [bad] = read(tmp_path, name, b"[%b]" % content if name == "rows.json" else content)
    assert bad.reason == "'b' stands there twice"


def test_json_lines_in_a_json_file_are_read(tmp_path):
    assert read(tmp_path, "rows.json", b'{"a": 1}\n{"a": 2}\n') == [Row(1, {"a": 1}), Row(2, {"a": 2})]


def test_csv_cells_are_text_and_empty_ones_null(tmp_path):
    content = b"problem,solution,label,n\r\nq,a,1.0,007\r\n\r\nq,,,\r\nq\r\n"
    assert [row.value for row in read(tmp_path, "rows.csv", content)] == [
        {"problem": "q", "solution": "a", "label": 1, "n": "007"},
        {"problem": "q", "solution": None, "label": None, "n": None},
        {"problem": "q", "solution": None, "label": None, "n": None},
    ]


def test_bad_rows_of_csv_are_set_aside_with_their_number(tmp_path):
    content = b'problem,steps\nq,a,b\nq,"[1"\nq,\xff\nq,"[""a""]"\n'
    *bad, good = read(tmp_path, "rows.csv", content)
    assert [(row.line, row.reason) for row in bad] == [
        (1, "3 cells for 2 columns"),
        (2, "expected a JSON list under 'steps'"),
        (3, "invalid UTF-8"),
    ]
    assert good == Row(4, {"problem": "q", "steps": ["a"]})


@pytest.mark.parametrize(("rows", "lines"), [(b'q,"a\nq,b\nq,c\n', "2 to 4"), (b'q,a\nq,"b\nq,"c"\nq,d\n', "3 to 4")])
def test_a_quote_of_csv_that_is_not_closed_swallows_no_rows(tmp_path, rows, lines):
    with pytest.raises(
        DataError, match=rf"rows\.csv: the row in lines {lines}: malformed CSV: .*is a quote not closed"
    ):
        read(tmp_path, "rows.csv", b"problem,solution\n" + rows)
    with pytest.raises(DataError, match=r"the row in lines 1 to 2: malformed CSV"):
        read(tmp_path, "rows.csv", b'problem,"solution\nq,a\n')


def test_a_row_of_csv_that_is_cut_off_in_its_quotes_is_set_aside(tmp_path):
    good, bad = read(tmp_path, "rows.csv", b'problem,solution\nq,"a\nb"\nq,"c')
    assert good == Row(1, {"problem": "q", "solution": "a\nb"})
    assert (bad.line, bad.reason) == (2, "malformed CSV: unexpected end of data (is a quote not closed?)")


def test_a_giant_cell_of_csv_in_quotes_does_not_take_the_next_row_with_it(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "MAX_LINE_BYTES", 20)
    giant, last = read(tmp_path, "rows.csv", b'problem,solution\nq,"' + b"x" * 30 + b'"\nq,"b"\n')
    assert giant == BadRow(1, "longer than 20 characters", "")
    assert last == Row(2, {"problem": "q", "solution": "b"})


@pytest.mark.parametrize("header", [b"a,a", b"a,"])
def test_csv_columns_have_names_of_their_own(tmp_path, header):
    with pytest.raises(DataError, match="a name of its own"):
        read(tmp_path, "rows.csv", header + b"\n1,2\n")


def test_a_giant_cell_of_csv_is_set_aside_without_being_held(tmp_path):
    path = tmp_path / "rows.csv"
    with path.open("wb") as file:
        file.write(b"problem,solution\nq,a\nq,")
        for _ in range(60):
            file.write(b"x" * 1_000_000)
        file.write(b"\nq,b\n")
    tracemalloc.start()
    try:
        first, giant, last = read_table(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(giant, BadRow)
    assert giant.reason == "longer than 10000000 characters"
    assert (first.value["solution"], last.value["solution"]) == ("a", "b")
    assert peak < 100_000_000


def test_parquet_values_become_json(tmp_path):
    row = {"problem": "q", "day": date(2026, 1, 2), "price": Decimal("1.50"), "gap": float("nan"), "label": 1.0}
    [found] = read_table(table(tmp_path, ".parquet", [row]))
    assert found.value == {"problem": "q", "day": "2026-01-02", "price": "1.50", "gap": None, "label": 1}


def test_parquet_columns_have_names_of_their_own(tmp_path):
    parquet.write_table(pa.table([["a"], ["b"]], ["problem", "problem"]), tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"rows\.parquet: each column has to have a name of its own"):
        list(read_table(tmp_path / "rows.parquet"))


def test_what_json_cannot_hold_is_set_aside_by_its_column(tmp_path):
    rows = [{"problem": "q", "image": b"\x89"}, {"problem": "q", "image": None}]
    bad, good = read_table(table(tmp_path, ".parquet", rows))
    assert bad == BadRow(1, "column 'image' holds bytes, which JSON cannot", "")
    assert good == Row(2, {"problem": "q", "image": None})


def test_parquet_text_that_is_no_utf8_is_set_aside_alone(tmp_path):
    column = pa.array([b"a", b"\xff", b"b"], pa.binary()).view(pa.string())
    parquet.write_table(pa.table({"problem": column}), tmp_path / "rows.parquet")
    first, bad, last = read_table(tmp_path / "rows.parquet")
    assert (first.value, last.value) == ({"problem": "a"}, {"problem": "b"})
    assert bad == BadRow(2, "invalid UTF-8", "")


def test_a_damaged_parquet_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"rows\.parquet is no Parquet file"):
        read(tmp_path, "rows.parquet", b"PAR1 and nothing more")


@pytest.mark.parametrize("suffix", [".json", ".csv", ".parquet"])
def test_memory_does_not_grow_with_the_file(tmp_path, suffix):
    rows = ({"problem": "q" * 500, "steps": ["s" * 500]} for _ in range(20_000))
    path = tmp_path / f"rows{suffix}"
    if suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(list(rows)), path, row_group_size=1000)
    else:
        WRITERS[suffix](path, list(islice(rows, 20_000)))
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_table(path)) == 20_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6_000_000


def test_cells_of_csv_that_are_lists(tmp_path):
    columns = {
        "completions": '["a", "b"]',
        "labels": "[true, 0.5]",
        "label": '["+", "-"]',
        "value": "0.5",
        "prompt": '[{"role": "user", "content": "q"}]',
        "solution": "[1, 2] is the interval",
        "answer": "[1, 2]",
    }
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([list(columns), list(columns.values())])
    [row] = read_table(tmp_path / "rows.csv")
    lists = {"completions": ["a", "b"], "labels": [True, 0.5], "label": ["+", "-"]}
    assert row == Row(1, columns | lists | {"prompt": [{"role": "user", "content": "q"}]})


@pytest.mark.parametrize("name", ["steps", "completions", "labels", "label", "value"])
def test_a_list_written_otherwise_is_a_bad_row_that_names_its_column(tmp_path, name):
    [row] = read(tmp_path, "rows.csv", f"problem,{name}\nq,\"['a', True]\"\n".encode())
    assert row.reason == f"expected a JSON list under {name!r}"


@pytest.mark.parametrize("content", [b'{\n "problem": "q"\n}', b'{"data": [\n{"problem": "q"}]}'])
def test_an_object_over_several_lines_is_refused_as_what_it_is(tmp_path, content):
    with pytest.raises(DataError, match="expected a list of objects, or an object on each line"):
        read(tmp_path, "rows.json", content)


@pytest.mark.parametrize("name", ["a.md", "a.TXT", "a.markdown"])
def test_a_text_file_is_one_solution_as_it_is(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"\xef\xbb\xbf# Sum\r\n\r\n1 + 1 = 2\n")
    assert list(read_table(path)) == [Row(1, {"solution": "# Sum\r\n\r\n1 + 1 = 2\n"})]
    assert count_rows(path) == 1
    assert list(read_table(path, start=2)) == []


def test_a_text_file_of_objects_is_json_lines(tmp_path):
    path = tmp_path / "rows.txt"
    path.write_text('\n{"a": 1}\n{"a": 2}\n')
    assert [row.value for row in read_table(path)] == [{"a": 1}, {"a": 2}]


def test_a_text_file_without_text_or_in_other_bytes_is_told(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text(" \n")
    with pytest.raises(DataError, match="holds no row"):
        list(read_table(path))
    path.write_bytes(b"a\xff")
    [row] = read_table(path)
    assert (row.line, row.reason) == (1, "invalid UTF-8 at byte 2")
    monkeypatch.setattr(tables, "MAX_LINE_BYTES", 1)
    [row] = read_table(path)
    assert row.reason == "longer than 1 bytes"
