"""Pairs that another policy wrote, and what packing saves on a file, counted by hand."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from presrm.config import TrainingConfig
from presrm.errors import NoLessonsError
from presrm.files import spool
from presrm.files.jsonl import dump
from presrm.formats.pairs import Terminal, pair_of, read_pairs
from presrm.prompts import PromptSet
from presrm.prompts.encoding import PromptEncoder
from presrm.training.pair_files import TokenRatio, adopt_pairs, count_tokens, hold_out
from presrm.training.preference import DPO
from presrm.training.tokens import tokenise
from presrm.types import PreferencePair, Problem, Step, Stop, Trajectory

PLAIN = PromptSet("plain")


@pytest.fixture(scope="module")
def encoder(tiny_policy: Path) -> PromptEncoder:
    return PromptEncoder(AutoTokenizer.from_pretrained(tiny_policy))


def pair(question: str, before: str, chosen: str, rejected: str) -> PreferencePair:
    row = {"prompt": question, "initial_reason_steps": before, "chosen": chosen, "rejected": rejected}
    return pair_of(row, 1, Terminal.AUTO)


def count(pairs: list[PreferencePair], encoder: PromptEncoder, **options: int) -> TokenRatio:
    return count_tokens(pairs, encoder, PLAIN, TrainingConfig(**options), DPO(), seed=0, num_positions=2**31)


def test_the_question_is_shown_as_it_is_and_the_end_token_stands_where_the_answer_ends(encoder: PromptEncoder) -> None:
    kept, _ = tokenise([pair("Q?", "W", "#### 7", "7")], DPO(), encoder, PLAIN, 99)
    chosen, rejected = kept[0].replies
    assert encoder.decode(kept[0].prefix) == "<|user|>Q?<|end|><|assistant|>W"
    assert encoder.decode(chosen) == "#### 7<|end|>"
    assert encoder.decode(rejected) == "7"
    assert chosen[-1] == encoder.eos_id
    assert rejected[-1] != encoder.eos_id


def test_tokens_of_a_path_counted_by_hand(encoder: PromptEncoder) -> None:
    # A letter is a token here. Prompt: <|user|> Q <|end|> <|assistant|>, 4 tokens; the path is W, X, Y.
    path = [pair("Q", "", "W", "J"), pair("Q", "W", "X", "K"), pair("Q", "WX", "Y", "L")]
    found = count(path, encoder)
    assert found.whole == 2 * 5 + 2 * 6 + 2 * 7
    assert found.packed == found.tree == 4 + 3 + 3
    assert (found.num_pairs, found.num_problems, found.num_too_long) == (3, 1, 0)
    assert found.explain() == "3.0 pairs a problem: packing computes 3.6 times fewer tokens."


def test_one_pair_a_problem_shares_little(encoder: PromptEncoder) -> None:
    # <|user|> is shared by all that lie in one optimiser step; Q or Z, <|end|>, <|assistant|>, W or V are a pair's own.
    pairs = [pair("Q", "W", "X", "K"), pair("Z", "V", "X", "K")]
    assert count(pairs, encoder, batch_pairs=1).packed == 2 * (5 + 2)
    found = count(pairs, encoder)
    assert found.whole == 4 * 6
    assert found.packed == found.tree == 1 + 2 * (4 + 2)
    assert found.explain().startswith("One pair a problem: packing computes 1.8 times fewer tokens, not 9 times")


def test_a_tree_too_long_for_a_pack_is_cut_and_what_it_shares_is_counted_in_each(encoder: PromptEncoder) -> None:
    path = [pair("Q", "", "W", "J"), pair("Q", "W", "X", "K"), pair("Q", "WX", "Y", "L")]
    found = count(path, encoder, pack_tokens=7)
    assert found.packed == (4 + 2) + (5 + 2) + (6 + 2)
    assert found.tree == 4 + 3 + 3


def test_duplicate_pairs_cost_nothing_more(encoder: PromptEncoder) -> None:
    once = pair("Q", "W", "X", "K")
    assert count([once, once], encoder).packed == count([once], encoder).packed


def test_pairs_that_are_too_long_are_left_out_and_counted(encoder: PromptEncoder) -> None:
    short, long = pair("Q", "", "X", "K"), pair("Q", "", "XYXYXY", "K")
    found = count([short, long], encoder, max_tokens=5)
    assert (found.num_pairs, found.num_too_long, found.whole) == (1, 1, 10)
    with pytest.raises(NoLessonsError, match=r"1 given, 1 longer than training\.max_tokens=5"):
        count([long], encoder, max_tokens=5)


def with_ids(encoder: PromptEncoder, shift: int = 0) -> PreferencePair:
    def step(text: str) -> Step:
        return Step(text, tuple(i + shift for letter in text for i in encoder.content(letter)))

    return PreferencePair("p/1", Trajectory(Problem("p", "12 + 3?"), (step("12 + 3"),)), step(" = 15"), step("16"), 1.0)


def test_ids_of_this_tokenizer_are_kept(encoder: PromptEncoder) -> None:
    notes: list[str] = []
    own = with_ids(encoder)
    assert adopt_pairs([own], encoder, notes.append) == [own]
    assert notes == []


@pytest.mark.parametrize("shift", [1, 100_000])
def test_ids_of_another_tokenizer_are_dropped_and_said(encoder: PromptEncoder, shift: int) -> None:
    notes: list[str] = []
    theirs = with_ids(encoder, shift)
    (ours,) = adopt_pairs([theirs], encoder, notes.append)
    bare = replace(theirs.prefix, steps=(Step("12 + 3"),))
    assert ours == replace(theirs, prefix=bare, chosen=Step(" = 15"), rejected=Step("16"))
    assert notes == ["in 1 pair the ids are those of another tokenizer: the text is tokenised anew"]


def test_where_a_solution_ends_is_kept_when_the_ids_are_dropped(encoder: PromptEncoder) -> None:
    theirs = with_ids(encoder, 1)
    theirs = replace(theirs, chosen=replace(theirs.chosen, stop=Stop.EOS), rejected=replace(theirs.rejected, stop=None))
    (ours,) = adopt_pairs([theirs], encoder, lambda note: None)
    assert (ours.chosen.stop, ours.rejected.stop) == (Stop.EOS, None)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (
            pair("<|user|>Q<|end|><|assistant|>", "", "X", "K"),
            "1 prompts hold control tokens (<|assistant|>, <|end|>, ",
        ),
        (pair("Q", "<|assistant|>W", "X", "K"), "1 prefixes hold control tokens (<|assistant|>)"),
        (pair("Q", "", "<|assistant|>X", "K"), "1 replies hold control tokens (<|assistant|>)"),
        (pair("Q", "", "X<|end|>X", "<|end|>K"), "2 replies hold control tokens (<|end|>)"),
        (pair("Q", "", "<|im_start|>assistant\nX", "K"), "1 replies hold control tokens (<|im_start|>)"),
        (pair("[INST] Q [/INST]", "", "X", "K"), "1 prompts hold control tokens ([/INST], [INST])"),
    ],
)
def test_control_tokens_are_said_by_place_and_name(encoder: PromptEncoder, made: PreferencePair, said: str) -> None:
    notes: list[str] = []
    adopt_pairs([made, pair("Q", "", "1 < 2 |> 3", "K")], encoder, notes.append)
    assert len(notes) == 1
    assert notes[0].startswith(said)


def test_control_tokens_that_a_policy_wrote_itself_are_not_said(encoder: PromptEncoder) -> None:
    step = Step("<|end|>", tuple(encoder.scaffold("<|end|>")))
    own = PreferencePair("p/1", Trajectory(Problem("p", "Q")), step, Step("K", tuple(encoder.content("K"))), 1.0)
    notes: list[str] = []
    assert adopt_pairs([own], encoder, notes.append) == [own]
    assert notes == []


def test_pairs_of_a_drawn_share_of_the_problems_are_held_out(encoder: PromptEncoder) -> None:
    pairs = [pair(question, "", "X", "K") for question in "ABCDABCDAEFGHIJ"]

    trained, aside = hold_out(pairs, 0.3, seed=5)

    names = list(dict.fromkeys(each.prefix.problem.id for each in pairs))
    drawn = random.Random(5).sample(names, 3)
    assert aside == [each for each in pairs if each.prefix.problem.id in drawn]
    assert trained == [each for each in pairs if each.prefix.problem.id not in drawn]
    assert len(aside) > 0


def test_pairs_that_stand_on_disk_are_read_and_adopted_as_if_they_were_held(
    encoder: PromptEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = with_ids(encoder)
    path = own.prefix.steps[0], own.chosen
    rows = [own, replace(own, prefix=own.prefix.extend(path[1])), with_ids(encoder, 1), pair("Q", "", "X<|end|>X", "K")]
    (tmp_path / "pairs.jsonl").write_text("".join(dump(row) + "\n" for row in rows))

    def adopted() -> tuple[list[PreferencePair], list[str]]:
        notes: list[str] = []
        return list(adopt_pairs(read_pairs(tmp_path / "pairs.jsonl").pairs, encoder, notes.append)), notes

    held = adopted()
    monkeypatch.setattr(spool, "MOST_HELD", 1)
    assert adopted() == held
    assert held[0][:2] == rows[:2]
    assert len(held[1]) == 2
