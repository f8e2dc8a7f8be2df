"""Judging a file: what comes out, what is set aside, and that a stop changes nothing."""

import csv
import json
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from presrm.errors import DataError, JudgeError, RequestError, RunConfigError, RunError
from presrm.files import journal
from presrm.judging.solutions import find_worst, judge_file, read_first_errors
from presrm.protocols import ask_judge
from presrm.types import Judgement, Status


class LineSplitter:
    stop = ("\n",)

    def split(self, text):
        return text.splitlines(keepends=True)


class SumJudge:
    """Right are steps as '1+1=2'; it cannot read '?', and may be stopped at its n-th call."""

    scale = "absolute"

    def __init__(self, stop_at=None):
        self.seen = []
        self.calls = 0
        self.stop_at = stop_at

    def judge(self, batch):
        self.calls += 1
        if self.calls == self.stop_at:
            raise KeyboardInterrupt
        self.seen += batch
        return [tuple(self._judge(step.text) for step in item.steps) for item in batch]

    def _judge(self, text):
        if "?" in text:
            return Judgement(None, Status.UNREADABLE, "no verdict")
        left, _, right = text.strip().partition("=")
        return Judgement(1.0 if eval(left) == int(right) else 0.0, rationale="computed")


class Opened:
    """Opens a judge and counts how often."""

    def __init__(self, judge):
        self.judge = judge
        self.times = 0

    @contextmanager
    def __call__(self):
        self.times += 1
        yield self.judge


def quiet(name, total):
    return nullcontext(lambda units: None)


def judge(source, out, judge=None, *, opened=None, settings=None, group_size=2):
    opened = opened or Opened(judge or SumJudge())
    return judge_file(source, out, opened, LineSplitter(), settings or {"judge": "sum"}, quiet, group_size=group_size)


def write(path, *rows):
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def read(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_rows_come_out_unchanged_in_order_and_judged(tmp_path):
    source = write(
        tmp_path / "in.jsonl",
        {"id": 7, "question": "é?", "steps": ["1+1=2", "2+2=5"], "extra": {"x": [1]}},
        {"question": "q", "solution": "1+1=2\n?"},
    )
    judged = judge(source, tmp_path / "out.jsonl")
    first, second = read(tmp_path / "out.jsonl")
    assert (judged.tally.num_judged, judged.tally.num_rejected, judged.card) == (2, 0, None)
    assert list(first) == ["id", "question", "steps", "extra", "judged", "first_error"]
    assert first["extra"] == {"x": [1]}
    assert first["judged"][1] == {"text": "2+2=5", "score": 0.0, "status": "ok", "rationale": "computed"}
    assert first["first_error"] == 1
    assert second["judged"][1] == {"text": "?", "score": None, "status": "unreadable", "rationale": "no verdict"}
    assert second["first_error"] is None
    assert "é" in (tmp_path / "out.jsonl").read_text("utf-8")
    assert not (tmp_path / "out.jsonl.rejected.jsonl").exists()
    assert not (tmp_path / "out.jsonl.card.json").exists()


@pytest.mark.parametrize("size", [1, 2, 64])
def test_groups_that_are_judged_elsewhere_give_the_same_files(tmp_path, size):
    rows = [{"question": "q", "solution": f"1+{n}={n + n % 2}\n?"} for n in range(7)]
    source = write(tmp_path / "in.jsonl", *rows[:3], b"{", {"question": "q"}, *rows[3:], {"question": "q"})
    seen = []

    def elsewhere(batches):
        for batch in batches:  # some are read ahead before the first is given back
            seen.append(batch)
            yield ask_judge(SumJudge(), batch)

    judge(source, tmp_path / "here.jsonl", group_size=size)
    opened = Opened(SumJudge())
    judged = judge_file(
        source,
        tmp_path / "there.jsonl",
        opened,
        LineSplitter(),
        {"judge": "sum"},
        quiet,
        group_size=size,
        elsewhere=elsewhere,
    )
    for name in ("jsonl", "jsonl.rejected.jsonl"):
        assert (tmp_path / f"there.{name}").read_bytes() == (tmp_path / f"here.{name}").read_bytes()
    assert judged.tally.num_judged == 7
    assert sum(map(len, seen)) == 14
    assert len(seen) == -(-10 // size)


def test_a_step_is_judged_after_its_prefix_alone(tmp_path):
    scripted = SumJudge()
    judge(
        write(tmp_path / "in.jsonl", {"question": "q", "solution": "1+1=2\n2+2=4\n"}), tmp_path / "out.jsonl", scripted
    )
    assert [(item.prefix.text, item.steps[0].text) for item in scripted.seen] == [
        ("", "1+1=2\n"),
        ("1+1=2\n", "2+2=4\n"),
    ]


def test_half_a_surrogate_pair_survives_beside_the_text_and_is_set_aside_in_it(tmp_path):
    rows = [
        rb'{"question": "1+1?", "solution": "1+1=2", "note": "\ud800"}',
        rb'{"question": "\ud800", "solution": "1+1=2"}',
    ]
    source = write(tmp_path / "in.jsonl", *rows)
    judge(source, tmp_path / "out.jsonl")
    (row,) = read(tmp_path / "out.jsonl")
    assert row["note"] == "\ud800"
    assert "surrogate" in (tmp_path / "out.jsonl.rejected.jsonl").read_text()


def test_bad_rows_are_set_aside_with_line_and_reason(tmp_path):
    lines = [b"{", {"solution": "1+1=2"}, {"question": "q", "solution": "1+1=2"}, b'"\xff"', b'{"question": 1e999}']
    source = write(tmp_path / "in.jsonl", *lines)
    judged = judge(source, tmp_path / "out.jsonl")
    rejected = read(tmp_path / "out.jsonl.rejected.jsonl")
    assert (judged.tally.num_judged, judged.tally.num_rejected) == (1, 4)
    assert [row["line"] for row in rejected] == [1, 2, 4, 5]
    assert "question" in rejected[1]["reason"]
    assert len(read(tmp_path / "out.jsonl")) == 1


def test_all_rows_bad_is_refused_without_opening_the_judge(tmp_path):
    opened = Opened(SumJudge())
    source = write(tmp_path / "in.jsonl", {"solution": "1+1=2"}, {"question": "q"})
    with pytest.raises(DataError, match="no row can be used"):
        judge(source, tmp_path / "out.jsonl", opened=opened)
    assert opened.times == 0
    assert len(read(tmp_path / "out.jsonl.rejected.jsonl")) == 2


def test_once_the_input_is_mended_the_same_request_works(tmp_path):
    with pytest.raises(DataError):
        judge(write(tmp_path / "in.jsonl", b"{"), tmp_path / "out.jsonl")
    judge(write(tmp_path / "in.jsonl", {"question": "q", "solution": "1+1=2"}), tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl.rejected.jsonl").exists()


def many_rows(path):
    rows = [
        {"question": "q", "steps": [f"{i}+1={i + 1}", f"{i}+2={i + 2 + i % 2}"], "label": 1 if i % 2 else -1}
        for i in range(9)
    ]
    return write(path, *rows[:4], b"{", *rows[4:], b"[]")


def outputs(out):
    return {path.name: path.read_bytes() for path in sorted(out.parent.glob(f"{out.name}*"))}


@pytest.mark.parametrize("stop_at", [1, 2, 4])
@pytest.mark.parametrize("torn", [b"", b'{"question": "half a r'])
def test_stopped_and_resumed_gives_the_same_bytes(tmp_path, stop_at, torn):
    source = many_rows(tmp_path / "in.jsonl")
    whole, parts = tmp_path / "a" / "out.jsonl", tmp_path / "b" / "out.jsonl"
    judge(source, whole)
    with pytest.raises(KeyboardInterrupt):
        judge(source, parts, SumJudge(stop_at))
    if parts.exists():
        with parts.open("ab") as file:
            file.write(torn)
    resumed = SumJudge()
    judge(source, parts, resumed)
    assert outputs(parts) == outputs(whole)
    assert resumed.calls == 5 - (stop_at - 1)


class CostlyJudge(SumJudge):
    """Takes twenty seconds for each step, as it says."""

    def spent(self):
        return 20.0 * len(self.seen)


@pytest.mark.parametrize("stop_at", [1, 2, 3, 4])
def test_groups_follow_from_the_work_of_the_first_row_and_are_kept_on_resume(tmp_path, stop_at):
    def go(out, **how):
        costly = CostlyJudge(**how)
        judge_file(
            source, out, Opened(costly), LineSplitter(), {"judge": "sum"}, quiet, group_size=64, spent=costly.spent
        )
        return costly

    rows = [{"question": "q", "steps": ["1+1=2"]} for _ in range(9)]
    source = write(tmp_path / "in.jsonl", b"{", *rows)
    whole, parts = tmp_path / "a" / "out.jsonl", tmp_path / "b" / "out.jsonl"
    assert go(whole).calls == 4, "one row, then two groups of three, then the two that are left"
    assert json.loads(Path(f"{whole}.state.json").read_text())["notes"]["group_size"] == 3
    with pytest.raises(KeyboardInterrupt):
        go(parts, stop_at=stop_at)
    assert go(parts).calls == 4 - (stop_at - 1)
    assert outputs(parts) == outputs(whole)


def test_a_finished_file_is_not_judged_again(tmp_path):
    source = many_rows(tmp_path / "in.jsonl")
    first = judge(source, tmp_path / "out.jsonl")
    before = outputs(tmp_path / "out.jsonl")
    opened = Opened(SumJudge())
    assert judge(source, tmp_path / "out.jsonl", opened=opened) == first
    assert opened.times == 0
    assert outputs(tmp_path / "out.jsonl") == before


def test_another_request_for_the_same_output_is_refused(tmp_path):
    source, out = many_rows(tmp_path / "in.jsonl"), tmp_path / "out.jsonl"
    judge(source, out)
    with pytest.raises(RunConfigError, match="judge: 'sum' -> 'other'"):
        judge(source, out, settings={"judge": "other"})
    with pytest.raises(RunConfigError, match="group_size: 2 -> 3"):
        judge(source, out, group_size=3)
    with source.open("a") as file:
        file.write("{}\n")
    with pytest.raises(RunConfigError, match="the input has changed"):
        judge(source, out)


def test_a_file_of_somebody_else_is_not_overwritten(tmp_path):
    source, out = many_rows(tmp_path / "in.jsonl"), write(tmp_path / "out.jsonl", {"mine": 1})
    with pytest.raises(RequestError, match="exists"):
        judge(source, out)
    assert read(out) == [{"mine": 1}]


def test_damaged_leftovers_are_named(tmp_path):
    source, out = many_rows(tmp_path / "in.jsonl"), tmp_path / "out.jsonl"
    with pytest.raises(KeyboardInterrupt):
        judge(source, out, SumJudge(stop_at=3))
    out.write_bytes(b"")
    with pytest.raises(RunError, match="changed, cut off or removed"):
        judge(source, out)
    (tmp_path / "out.jsonl.state.json").write_text("{")
    with pytest.raises(RunError, match="damaged"):
        judge(source, out)


def test_a_relative_judge_is_refused_by_name_and_leaves_nothing(tmp_path):
    relative = SumJudge()
    relative.scale = "relative"
    with pytest.raises(RequestError, match="judge 'sum' is relative"):
        judge(many_rows(tmp_path / "in.jsonl"), tmp_path / "out.jsonl", relative)
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_a_judge_that_raises_or_miscounts_is_named(tmp_path):
    class Short(SumJudge):
        def judge(self, batch):
            return super().judge(batch)[1:]

    with pytest.raises(JudgeError, match="Short"):
        judge(many_rows(tmp_path / "in.jsonl"), tmp_path / "out.jsonl", Short())
    source = write(tmp_path / "words.jsonl", {"question": "q", "solution": "hello"})
    with pytest.raises(JudgeError, match="judge 'SumJudge' raised"):
        judge(source, tmp_path / "words.judged.jsonl")


def test_card_is_written_where_rows_carry_labels(tmp_path):
    judged = judge(many_rows(tmp_path / "in.jsonl"), tmp_path / "out.jsonl")
    card = json.loads((tmp_path / "out.jsonl.card.json").read_text())
    assert card["f1"]["value"] == judged.card.f1.value == 1.0
    assert card["erroneous"]["num"] == 4


def test_counts_are_those_of_the_whole_file_after_a_stop_too(tmp_path):
    source, out = many_rows(tmp_path / "in.jsonl"), tmp_path / "out.jsonl"
    with pytest.raises(KeyboardInterrupt):
        judge(source, out, SumJudge(stop_at=3))
    tally = judge(source, out).tally
    assert (tally.num_judged, tally.num_clean, tally.num_erroneous, tally.num_labelled) == (9, 5, 4, 9)
    assert tally.statuses == {"ok": 18}
    assert [place.mean for place in tally.positions] == [1.0, pytest.approx(5 / 9)]
    assert sum(tally.reasons.values()) == 2


def test_cheap_groups_are_synced_together_and_dear_ones_each(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(journal.os, "fsync", synced.append)
    monkeypatch.setattr(journal, "_SECONDS_BETWEEN_SYNCS", 3600.0)
    judge(many_rows(tmp_path / "in.jsonl"), tmp_path / "cheap.jsonl")
    cheap = len(synced)
    monkeypatch.setattr(journal, "_SECONDS_BETWEEN_SYNCS", 0.0)
    judge(tmp_path / "in.jsonl", tmp_path / "dear.jsonl")
    assert len(synced) - cheap > cheap


def test_what_was_killed_between_two_syncs_is_judged_again(tmp_path):
    source = many_rows(tmp_path / "in.jsonl")
    whole, out = tmp_path / "a" / "out.jsonl", tmp_path / "b" / "out.jsonl"
    judge(source, whole)
    with pytest.raises(KeyboardInterrupt):
        judge(source, out, SumJudge(stop_at=2))
    state = Path(f"{out}.state.json")
    earlier = state.read_text()
    judge(source, out)
    state.write_text(earlier)
    judge(source, out)
    assert outputs(out) == outputs(whole)


def test_an_output_of_another_version_is_refused_with_what_to_do(tmp_path):
    source, out = many_rows(tmp_path / "in.jsonl"), tmp_path / "out.jsonl"
    judge(source, out)
    state = Path(f"{out}.state.json")
    old = json.loads(state.read_text())
    state.write_text(json.dumps({**old, "format": old["format"] - 1}))
    with pytest.raises(RunConfigError, match=r"another version .*choose another --out, or remove it"):
        judge(source, out)


@pytest.mark.parametrize("suffix", [".json", ".csv", ".parquet"])
def test_any_table_gives_what_json_lines_give(tmp_path, suffix):
    rows = [{"question": "q", "steps": [f"{i}+1={i + 1}", f"{i}+2=3"], "label": i % 2} for i in range(7)]
    source = tmp_path / f"in{suffix}"
    if suffix == ".json":
        source.write_text(json.dumps(rows))
    elif suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(rows), source)
    else:
        with source.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows({**row, "steps": json.dumps(row["steps"])} for row in rows)
    judge(write(tmp_path / "in.jsonl", *rows), tmp_path / "lines.jsonl")
    with pytest.raises(KeyboardInterrupt):
        judge(source, tmp_path / "table.jsonl", SumJudge(stop_at=2))
    judge(source, tmp_path / "table.jsonl")
    assert (tmp_path / "table.jsonl").read_bytes() == (tmp_path / "lines.jsonl").read_bytes()


class IdJudge(SumJudge):
    """Right are the steps of the problem `a`."""

    def judge(self, batch):
        return [(Judgement(float(item.prefix.problem.id == "a")),) for item in batch]


def test_a_problem_is_known_by_the_id_of_its_row_else_by_its_line(tmp_path):
    rows = [{"id": name, "question": "q", "steps": ["s"]} for name in ("a", "b")] + [{"question": "q", "steps": ["s"]}]
    judge(write(tmp_path / "in.jsonl", *rows), tmp_path / "out.jsonl", IdJudge())
    assert [row["first_error"] for row in read(tmp_path / "out.jsonl")] == [-1, 0, 0]


class NumberJudge(SumJudge):
    """Scores a step by the number that it is; cannot read others."""

    def _judge(self, text):
        return Judgement(None, Status.UNREADABLE) if text.strip() == "?" else Judgement(float(text))


def test_the_worst_are_the_first_errors_with_the_lowest_scores(tmp_path):
    texts = ["0.9\n0.3\n0.0", "0.2\n0.1", "1\n1", "?\n0", "0.9\n0.1", "0.1"]
    source = write(
        tmp_path / "in.jsonl", *({"id": str(i), "question": "q", "solution": t} for i, t in enumerate(texts))
    )
    judge(source, tmp_path / "out.jsonl", NumberJudge())
    worst = find_worst(tmp_path / "out.jsonl", 3, LineSplitter())
    assert [(step.place, step.index, step.score) for step in worst] == [(4, 1, 0.0), (5, 1, 0.1), (6, 0, 0.1)]
    assert [step["score"] for step in worst[1].judgements] == [0.9, 0.1]
    assert [step.num_unscored for step in worst] == [1, 0, 0], "the first row has an unreadable step before"
    assert worst[1].solution.id == "4"
    assert len(find_worst(tmp_path / "out.jsonl", 99, LineSplitter())) == 5
    assert find_worst(tmp_path / "out.jsonl", 99, LineSplitter(), threshold=0.0) == []
    assert read_first_errors(tmp_path / "out.jsonl") == [1, 0, -1, None, 1, 0]
