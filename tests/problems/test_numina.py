"""NuminaMath-CoT: rows as the Hub has them."""

import json
from pathlib import Path

import pytest

from presrm.errors import ConfigError, DataError
from presrm.problems import load_problems
from presrm.problems.numina import read_row
from presrm.testing import check_problem_set

ROW = {
    "source": "synthetic_math",
    "problem": r"What is $1/4 + 1/4$?",
    "solution": r"Two quarters, \boxed{2/4}, are a half: $\boxed{\frac{1}{2}}$.",
    "messages": [{"role": "user", "content": "What is $1/4 + 1/4$?"}],
}
OTHER = {"source": "cn_k12", "problem": "How many?", "solution": r"\boxed{3}"}


def rows(folder: Path, *values: object) -> str:
    path = folder / "numina.jsonl"
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return f"numina:{path}"


def test_the_answer_is_the_last_box_and_the_solution_is_kept(tmp_path: Path) -> None:
    (problem,) = load_problems(rows(tmp_path, ROW), split="train")
    assert (problem.id, problem.question, problem.answer) == ("numina/1", ROW["problem"], r"\frac{1}{2}")
    assert problem.solution == ROW["solution"]


def test_sources_can_be_chosen(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (problem,) = load_problems(rows(tmp_path, ROW, OTHER), split="train", sources=["cn_k12", "olympiads"])
    assert problem.question == "How many?"
    assert "set aside" not in caplog.text


def test_rows_of_other_sources_are_counted_apart_from_bad_ones(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    load_problems(rows(tmp_path, ROW, OTHER, {"source": "cn_k12"}), split="train", sources=["cn_k12"])
    assert "1 row left out, as not asked for" in caplog.text
    assert "1 row set aside; line 3" in caplog.text
    with pytest.raises(DataError, match="no row is left: 2 were not asked for, 1 are bad"):
        load_problems(rows(tmp_path, ROW, OTHER, {"source": ["aops_forum"]}), split="train", sources=["aops_forum"])


def test_a_solution_that_a_model_segmented_is_read_with_its_markers() -> None:
    segmented = "Step 1: Count.\nStep 2: \\boxed{3}"
    problem = read_row(OTHER | {"steps": ["Count. ", "\\boxed{3}"], "segmented": segmented}, "id")
    assert problem is not None
    assert (problem.solution, problem.answer) == (segmented, "3")


@pytest.mark.parametrize("sources", ["cn_k12", [1]])
def test_sources_are_a_list_of_names(tmp_path: Path, sources: object) -> None:
    with pytest.raises(ConfigError, match="sources: expected a list of names"):
        load_problems(rows(tmp_path, OTHER), split="train", sources=sources)


def test_a_proof_has_no_answer_and_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    proof = {"source": "olympiads", "problem": "Prove it.", "solution": "Q.E.D."}
    assert len(load_problems(rows(tmp_path, proof, OTHER), split="train")) == 1
    assert r"1 row set aside; line 1: no \boxed{} in 'solution'" in caplog.text


@pytest.mark.parametrize("lacking", ["problem", "solution"])
def test_a_row_without_a_problem_or_a_solution_is_bad(lacking: str) -> None:
    with pytest.raises(ValueError, match=lacking):
        read_row({key: value for key, value in ROW.items() if key != lacking}, "id")


def test_the_hub_has_one_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_dataset(name: str, config: str, split: str) -> list[dict[str, object]]:
        asked.append((name, config, split))
        return [ROW, OTHER]

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    problems = load_problems("numina", split="train")
    assert asked == [("AI-MO/NuminaMath-CoT", "default", "train")]
    assert problems[1].id == "AI-MO/NuminaMath-CoT/default/train/1"
    check_problem_set(problems)


def test_a_hub_out_of_reach_says_what_to_pass_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: object, **kwargs: object) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr("datasets.load_dataset", unreachable)
    with pytest.raises(DataError, match="pass a local file: numina:PATH"):
        load_problems("numina", split="train")
