"""Use a policy that `presrm train` or `presrm fit` left behind, with transformers and PEFT alone.

    python examples/use_a_policy_elsewhere.py POLICY "QUESTION"

POLICY is the folder of the policy, a whole model or an adapter. For an adapter on a base that is a folder, start from
the directory that the training was started from.
"""

import sys
from pathlib import Path

import torch
from peft import AutoPeftModelForCausalLM
from transformers import AutoModelForCausalLM, AutoTokenizer


def solve(policy: Path, question: str, max_tokens: int = 64) -> str:
    """Write a solution greedily. The prompt has to be that of the training, here prompts/compact/solve.jinja."""
    is_adapter = (policy / "adapter_config.json").exists()
    model = (AutoPeftModelForCausalLM if is_adapter else AutoModelForCausalLM).from_pretrained(policy)
    tokenizer = AutoTokenizer.from_pretrained(policy)
    messages = [{"role": "user", "content": f"{question}\nSolve it, one step a line."}]
    inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.inference_mode():
        ids = model.generate(**inputs, max_new_tokens=max_tokens, do_sample=False)
    return tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


if __name__ == "__main__":
    print(solve(Path(sys.argv[1]), sys.argv[2]))
