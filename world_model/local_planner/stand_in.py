"""Where a compiled kernel stands in for a function of the policy's graph: the one switch between the two.

The graph, in torch, is the contract: it is exported, runs on GPUs and has gradients. On a CPU, where nobody needs a
gradient, a kernel computes the same in a fraction of the time. Tests hold the two together.
"""

import functools
import importlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")
_blocked = 0


def kernel(module: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let the function of the same name in a module stand in for the decorated one, where it may.

    The module is imported at the first call: compiled code costs a second to load.
    """

    def decorate(graph: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(graph)
        def either(*args: P.args, **kwargs: P.kwargs) -> R:
            if not stands_in((*args, *kwargs.values())):
                return graph(*args, **kwargs)
            found: Callable[P, R] = _load(module, graph.__name__)
            return found(*args, **kwargs)

        return either

    return decorate


def stands_in(arguments: Iterable[Any]) -> bool:
    """Return whether a kernel may compute with these: plain float32 tensors on a CPU, of which none needs a gradient.

    Not while a graph is traced for export.
    """
    if _blocked or torch.compiler.is_compiling():
        return False
    gradients = torch.is_grad_enabled()
    for tensor in _tensors(arguments):
        if type(tensor) is not Tensor or tensor.device.type != "cpu" or tensor.dtype != torch.float32:
            return False
        if gradients and tensor.requires_grad:
            return False
    return True


@contextmanager
def graph_only() -> Iterator[None]:
    """Compute with the graph alone, wherever the tensors are: for comparisons."""
    global _blocked
    _blocked += 1
    try:
        yield
    finally:
        _blocked -= 1


@functools.cache
def _load(module: str, name: str) -> Callable[..., Any]:
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found


def _tensors(arguments: Iterable[Any]) -> Iterator[Tensor]:
    """Yield the tensors among arguments, and in their tuples and dataclasses."""
    for argument in arguments:
        if isinstance(argument, Tensor):
            yield argument
        elif isinstance(argument, tuple):
            yield from _tensors(argument)
        elif hasattr(argument, "__dataclass_fields__"):
            yield from _tensors(vars(argument).values())
