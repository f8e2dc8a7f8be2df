"""TRL's trainer, fed with ready ids: its batches hold just those, and it trains."""

import pytest

from presrm.engines.hf_loading import load_tokenizer
from presrm.errors import RequestError
from presrm.prompts import PromptSet
from presrm.prompts.encoding import PromptEncoder
from presrm.training.ready_ids import rows_of_ids, taking_ids
from presrm.types import PreferencePair, Problem, Step, Stop, Trajectory

trl = pytest.importorskip("trl")

PREFIX = Trajectory(Problem("p", "12 + 3 - 4?"), (Step("Step 1: 12 + 3 = "),))
PAIRS = [
    PreferencePair("a", PREFIX, Step("15\n"), Step("11\n"), 0.5),
    PreferencePair("b", PREFIX, Step("15", stop=Stop.EOS), Step("<|end|>", stop=Stop.EOS), 0.5),
    PreferencePair("c", PREFIX, Step("15 " * 400), Step("11\n"), 0.5),
]


def test_trl_trains_on_the_ids_of_the_policy(tiny_policy, tmp_path):
    from datasets import Dataset
    from transformers import AutoModelForCausalLM

    tokenizer = load_tokenizer(str(tiny_policy))
    encoder = PromptEncoder(tokenizer)
    rows = rows_of_ids(PAIRS, encoder, PromptSet("plain"), longest=300)
    assert len(rows) == 2
    end = tokenizer.eos_token_id
    assert [end in row["chosen_ids"] for row in rows] == [False, True]
    assert rows[1]["rejected_ids"].count(end) == 1  # the text of an end token is no end token

    arguments = trl.DPOConfig(
        output_dir=str(tmp_path),
        max_length=None,
        max_steps=1,
        per_device_train_batch_size=2,
        report_to="none",
        use_cpu=True,
        bf16=False,
        logging_strategy="no",
        save_strategy="no",
    )
    trainer = taking_ids(trl.DPOTrainer)(
        model=AutoModelForCausalLM.from_pretrained(tiny_policy),
        ref_model=None,
        args=arguments,
        processing_class=tokenizer,
        train_dataset=Dataset.from_list(rows),
    )
    batch = trainer.data_collator([trainer.train_dataset[0], trainer.train_dataset[1]])
    kept = [ids[mask.bool()].tolist() for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)]
    assert kept == [row["prompt_ids"] + row[side] for side in ("chosen_ids", "rejected_ids") for row in rows]
    trainer.train()
    assert trainer.state.global_step == 1


def test_a_trainer_that_works_otherwise_is_refused():
    with pytest.raises(RequestError, match="prepares its data in a way that is not known"):
        taking_ids(object)
