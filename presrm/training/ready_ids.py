"""Pairs as token ids, for TRL's `DPOTrainer`: what is trained on is what the policy wrote, and no text is read again.

``export --to trl`` gives text, which TRL tokenises anew and ends with an end token. Here its trainer gets the ids that
`presrm fit` trains on::

    from trl import DPOConfig, DPOTrainer

    rows = rows_of_ids(pairs, encoder, PromptSet("paper"), longest=2048)
    trainer = taking_ids(DPOTrainer)(
        model=model,
        args=DPOConfig(max_length=None),
        processing_class=encoder.tokenizer,
        train_dataset=Dataset.from_list(rows),
    )

TRL is not imported here.
"""

from collections.abc import Sequence
from typing import Any

from presrm.config import ObjectiveConfig
from presrm.errors import RequestError
from presrm.prompts import PromptSet
from presrm.prompts.encoding import PromptEncoder
from presrm.training.objectives import make_objective
from presrm.training.tokens import tokenise
from presrm.types import PreferencePair


def rows_of_ids(
    pairs: Sequence[PreferencePair], encoder: PromptEncoder, prompts: PromptSet, longest: int
) -> list[dict[str, list[int]]]:
    """Give the pairs as TRL's collator takes them: ``prompt_ids``, ``chosen_ids`` and ``rejected_ids``.

    Args:
        pairs: Of a run, or made ready by `presrm.training.pair_files.adopt_pairs`.
        encoder: Of the policy's tokenizer.
        prompts: The set that the pairs were made with.
        longest: Tokens of prompt and reply at most; longer pairs are left out whole.
    """
    kept, _ = tokenise(pairs, make_objective(ObjectiveConfig()), encoder, prompts, longest)
    return [
        {"prompt_ids": list(each.prefix), "chosen_ids": list(each.replies[0]), "rejected_ids": list(each.replies[1])}
        for each in kept.values()
    ]


def taking_ids(trainer: Any) -> Any:
    """Give a subclass of TRL's `DPOTrainer` that trains on data sets of ready ids as they are.

    Raises:
        RequestError: if this version of the trainer prepares its data in another way.
    """
    if not hasattr(trainer, "_prepare_dataset"):
        raise RequestError(
            f"{trainer.__name__} of this version of TRL prepares its data in a way that is not known here"
        )

    class TakingIds(trainer):  # type: ignore[misc]
        """Trains on ready ids."""

        def _prepare_dataset(self, dataset: Any, *arguments: Any, **options: Any) -> Any:
            if "prompt_ids" in next(iter(dataset)):
                return dataset
            return super()._prepare_dataset(dataset, *arguments, **options)

    return TakingIds
