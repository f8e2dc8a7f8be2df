"""What a trainer makes of pairs: as TRL's own preparation and collator make it, id by id; ours corrupts none."""

import sys
from dataclasses import replace
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from presrm.engines.hf_loading import load_tokenizer
from presrm.formats.exports import to_openrlhf, to_trl
from presrm.prompts import PromptSet
from presrm.prompts.encoding import PromptEncoder
from presrm.training.pair_checks import TRAINERS, Setup, check_pairs
from presrm.types import PreferencePair, Problem, Step, Stop, Trajectory

QUESTION = "Tom has 12 apples. He buys 3 more. How many apples does Tom have now?"
PREFIX = Trajectory(Problem("p", QUESTION), (Step("Step 1: 12 + 3 = 15\n"),))
PAIR = PreferencePair("2/p/1", PREFIX, Step("Step 2: 15 - 4 = 11\n"), Step("Step 2: 4\n"), 0.5)
ENDED = replace(PAIR, chosen=Step("15", stop=Stop.EOS), rejected=Step("14", stop=Stop.EOS))
PAIRS = {
    "inside": PAIR,
    "ended": ENDED,
    "long": replace(PAIR, chosen=Step("15 and so on, " * 40), rejected=Step("15 and so on, " * 40 + "!")),
    "control": replace(PAIR, chosen=Step("15<|end|>\n")),
    "across": replace(
        PAIR, prefix=replace(PREFIX, steps=(Step("so <|en"),)), chosen=Step("d|> it is"), rejected=Step("no")
    ),
    "merged": replace(PAIR, prefix=replace(PREFIX, steps=(Step("12 + 3 = "),)), chosen=Step("15\n")),
    "empty": replace(ENDED, chosen=Step("", stop=Stop.EOS)),
    "turns": replace(
        ENDED, prefix=replace(PREFIX, problem=Problem("p", "And?", system="Be brief.", history=(("Hi.", "Hello."),)))
    ),
}
LIMIT = 160


@pytest.fixture(scope="module")
def setup(tiny_policy):
    tokenizer = load_tokenizer(str(tiny_policy))
    return Setup(tokenizer, PromptEncoder(tokenizer), PromptSet("plain"), LIMIT, is_own=True)


def prepared_by_trl(rows, tokenizer):
    """What TRL's collator gives for each row; none for a row that its preparation leaves out."""
    pytest.importorskip("trl")
    from datasets import Dataset
    from trl.trainer.dpo_trainer import DataCollatorForPreference, DPOTrainer

    arguments = SimpleNamespace(dataset_num_proc=None, max_length=LIMIT, truncation_mode="keep_start")
    itself = SimpleNamespace(_tokenizer=tokenizer)
    collator = DataCollatorForPreference(tokenizer.pad_token_id, LIMIT)
    batches = []
    for row in rows:
        kept = DPOTrainer._prepare_dataset(itself, Dataset.from_list([row]), tokenizer, arguments, "train")
        batches.append(collator.torch_call(list(kept)) if len(kept) else None)
    return batches


@pytest.mark.parametrize("trainer", ["trl", "trl-text"])
def test_trl_trains_on_just_these_ids(trainer, setup):
    if trainer == "trl":
        rows = [to_trl(pair) for pair in PAIRS.values()]
    else:
        rows = [
            {
                "prompt": setup.tokenizer.apply_chat_template(
                    to_trl(pair)["prompt"], tokenize=False, add_generation_prompt=True
                )
                + pair.prefix.text,
                "chosen": pair.chosen.text,
                "rejected": pair.rejected.text,
            }
            for pair in PAIRS.values()
        ]
    batches = prepared_by_trl(rows, setup.tokenizer)
    assert batches.count(None) < len(batches)

    for (name, pair), batch in zip(PAIRS.items(), batches, strict=True):
        trained = TRAINERS[trainer](pair, setup)
        assert (trained is None) == (batch is None), name
        for side, reply in enumerate((trained.chosen, trained.rejected) if trained else ()):
            num = int(batch["attention_mask"][side].sum())
            assert batch["input_ids"][side][:num].tolist() == [*trained.prompt, *reply][:LIMIT], name
            mask = [0] * len(trained.prompt) + [1] * len(reply)
            assert batch["completion_mask"][side][:num].tolist() == mask[:LIMIT], name


@pytest.fixture
def prepared_by_openrlhf(monkeypatch):
    """What OpenRLHF's data set gives for each row, and from where on it trains; none for a row that it leaves out.

    Its package asks for many others (``pip install --no-deps openrlhf``), so the file of the data set is read alone.
    """
    package = find_spec("openrlhf")
    if package is None or package.origin is None:
        pytest.skip("OpenRLHF is not installed")
    helpers = {
        "openrlhf.datasets.utils": {"exist_and_not_none": lambda row, key: row.get(key) is not None},
        "openrlhf.utils.utils": {"zero_pad_sequences": None},
    }
    for name, members in helpers.items():
        for parent in (name.rpartition(".")[0], name):
            module = ModuleType(parent)
            vars(module).update(members)
            monkeypatch.setitem(sys.modules, parent, module)
    monkeypatch.setitem(sys.modules, "openrlhf", ModuleType("openrlhf"))
    path = Path(package.origin).parent / "datasets/reward_dataset.py"
    spec = spec_from_file_location("reward_dataset", path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)

    def prepare(rows, tokenizer):
        from datasets import Dataset

        keys = SimpleNamespace(prompt_key=None, chosen_key="chosen", rejected_key="rejected", apply_chat_template=True)
        strategy = SimpleNamespace(args=SimpleNamespace(data=keys))
        for row in rows:
            data = module.RewardDataset(Dataset.from_list([row]), tokenizer, LIMIT, strategy, None, True, None)
            if len(data) == 0:
                yield None
                continue
            chosen, _, rejected, _, num = data[0]
            yield [int(i) for i in chosen[0]], [int(i) for i in rejected[0]], num

    return prepare


def test_openrlhf_trains_on_just_these_ids(setup, prepared_by_openrlhf):
    prepared = list(prepared_by_openrlhf(map(to_openrlhf, PAIRS.values()), setup.tokenizer))
    assert prepared.count(None) < len(prepared)
    for (name, pair), theirs in zip(PAIRS.items(), prepared, strict=True):
        trained = TRAINERS["openrlhf"](pair, setup)
        assert (trained is None) == (theirs is None), name
        for side, reply in enumerate((trained.chosen, trained.rejected) if trained else ()):
            ids = [*trained.prompt, *reply]
            if len(ids) > LIMIT:
                ids = [*ids[: LIMIT - 1], setup.tokenizer.eos_token_id]
            assert ids == theirs[side], name
            assert len(trained.prompt) in (0, theirs[2]), name


def test_what_openrlhf_does_to_a_pair(setup):
    assert found(ENDED, "openrlhf", setup) == set()
    assert "end_inside" in found(PAIR, "openrlhf", setup)
    assert "cut_off" in found(PAIRS["long"], "openrlhf", setup)
    assert "alike" in found(PAIRS["long"], "openrlhf", setup)


def found(pair, trainer, setup):
    checks = check_pairs([pair], trainer, setup)
    assert checks.num_corrupted == bool(checks.counts)
    return {*checks.counts}


def test_what_is_wrong_is_named(setup):
    assert found(PAIRS["inside"], "trl", setup) == {"end_inside"}
    assert found(PAIRS["ended"], "trl", setup) == set()
    assert found(PAIRS["merged"], "trl-text", setup) == {"boundary", "end_inside"}
    assert found(PAIRS["turns"], "trl", setup) == set()
    assert found(PAIRS["long"], "trl", setup) == {"cut_off", "alike"}
    assert {"control", "boundary", "end_inside"} <= found(PAIRS["control"], "trl", setup)
    assert {"control_across", "boundary"} <= found(PAIRS["across"], "trl-text", setup)
    assert found(replace(ENDED, chosen=Step("It is [[A]]", stop=Stop.EOS)), "trl", setup) == {"verdict"}
    short = replace(setup, limit=20)
    assert check_pairs([PAIR], "trl", short).num_left_out == 1


def test_tokens_that_the_policy_wrote_otherwise_are_read_otherwise(setup):
    """The policy wrote its step letter by letter; a trainer that reads text joins the letters."""
    letters = tuple(i for letter in "Tom has " for i in setup.encoder.content(letter))
    assert len(letters) > len(setup.encoder.content("Tom has "))
    pair = replace(ENDED, chosen=Step("Tom has ", letters, Stop.EOS))
    assert found(pair, "trl", setup) == {"boundary"}
    [example] = check_pairs([pair], "trl", setup).examples["boundary"]
    assert (example.pair, "read as" in example.shown) == ("2/p/1", True)


@pytest.mark.parametrize("name", PAIRS)
def test_ours_corrupts_no_pair(name, setup):
    assert found(PAIRS[name], "presrm", replace(setup, limit=4096)) == set()


def test_ours_leaves_out_what_is_too_long(setup):
    assert check_pairs([PAIRS["long"]], "presrm", setup).num_left_out == 1
