"""Which precision a training calculates in."""

import torch

from world_model.config import Precision


def is_bfloat16(precision: Precision, *, device: str) -> bool:
    """Return whether convolutions and linear layers run in bfloat16."""
    if precision != "auto":
        return precision == "bfloat16"
    if device != "cpu":
        return torch.cuda.is_bf16_supported()
    return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))
