"""Linear layers on a processor: their weights in the order in which oneDNN's kernels read them.

As a layer has them, weights are put into a kernel's own order at every call, which for the few rows of a batch that
writes takes longer than the product itself. Here that is done once.
"""

from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

_ROWS = 16  # what the order is chosen for; it is good for more and for fewer


def order_weights(model: PreTrainedModel) -> None:
    """Order the weights of all linear layers of a model that only runs, in place, where kernels gain by that.

    What a layer gives is the same up to the last bits. A head that shares its weights with the embedding gets a copy.

    Args:
        model: In evaluation mode, without an adapter; nothing but its layers may read their weights.
    """
    if model.device.type != "cpu" or not _has_kernels(model.dtype):
        return
    for name in [name for name, module in model.named_modules() if _is_plain(module)]:
        layer = _OrderedLinear(cast(nn.Linear, model.get_submodule(name)))
        model.set_submodule(name, layer)  # which frees the plain one


def _is_plain(module: nn.Module) -> bool:
    """Whether a layer is a product with plain numbers; one that is quantised may have a call or a tensor of its own."""
    return type(module) is nn.Linear and type(module.weight) is nn.Parameter and "forward" not in vars(module)


def _has_kernels(dtype: torch.dtype) -> bool:
    """Whether torch has oneDNN's kernels, which its own compiler uses, for this dtype on an x86 processor."""
    if not torch.backends.cpu.get_cpu_capability().startswith("AVX") or not hasattr(
        torch.ops.mkldnn, "_linear_pointwise"
    ):
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())


class _OrderedLinear(nn.Module):
    """A linear layer whose weights, (out, in), are in a kernel's order."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        ordered = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), _ROWS)
        self.weight = nn.Parameter(ordered, requires_grad=False)
        self.bias = layer.bias

    def forward(self, hidden: Tensor) -> Tensor:
        found: Tensor = torch.ops.mkldnn._linear_pointwise(hidden, self.weight, self.bias, "none", [], "")
        return found
