"""A second device for machines without one: tensors on the CPU that count as CUDA's, and may not meet the CPU's.

Everything is computed as ever, values and all. What PyTorch refuses on a GPU is refused here: two devices in one
function, ``numpy()`` of a tensor elsewhere, a generator of the wrong device. What only a GPU can show, such as kernels,
rounding and speed, is not.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

NAME = "cuda"
_DEVICE = torch.device(NAME)
_GETTERS = {Tensor.device.__get__: _DEVICE, Tensor.is_cuda.__get__: True, Tensor.is_cpu.__get__: False}
_MAY_MEET = {Tensor.copy_, Tensor.__getitem__, Tensor.__setitem__, Tensor.grad.__get__, Tensor.requires_grad.__get__}
"""Functions that take the CPU's tensors beside others: ``copy_`` moves, and an index may lie on the CPU"""


def is_elsewhere(tensor: Tensor) -> bool:
    """Return whether a tensor counts as one of the second device."""
    return bool(vars(tensor).get("elsewhere", False)) if hasattr(tensor, "__dict__") else False


def sent(tensor: Tensor) -> Tensor:
    """Let a tensor, such as a parameter, count as one of the second device from now on."""
    tensor.elsewhere = True  # type: ignore[attr-defined]
    return tensor


class _Generator(torch.Generator):
    """One of PyTorch's, which knows what device it was asked for."""

    def __new__(cls, device: Any = "cpu") -> "_Generator":
        made = super().__new__(cls, device="cpu")
        made.asked_for = torch.device(device).type
        return made

    def __init__(self, device: Any = "cpu") -> None:
        pass


class SecondDevice(TorchFunctionMode):
    """While it is active, ``device="cuda"`` means the second device."""

    def __init__(self) -> None:
        super().__init__()
        self._blind = 0

    @contextmanager
    def blind(self) -> Iterator[None]:
        """Look away while somebody else's code computes."""
        self._blind += 1
        try:
            yield
        finally:
            self._blind -= 1

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function of PyTorch, if its tensors are all on one device."""
        kwargs = dict(kwargs or {})
        if self._blind:
            return func(*args, **kwargs)
        inputs = list(_tensors((args, kwargs)))
        if func in _GETTERS and is_elsewhere(args[0]):
            return _GETTERS[func]
        if func is Tensor.numpy or func is Tensor.__array__:
            assert not is_elsewhere(args[0]), "numpy() of a tensor that is not on the CPU"
        result_elsewhere = any(is_elsewhere(tensor) for tensor in inputs)
        args, kwargs, named = _on_the_cpu(func, args, kwargs)
        if named is not None:
            result_elsewhere = named
        elif func is Tensor.cpu:
            result_elsewhere = False
        elif func not in _MAY_MEET:
            _refuse_two_devices(func, inputs)
        _refuse_generator(func, kwargs.get("generator"), result_elsewhere)
        result = func(*args, **kwargs)
        for tensor in _tensors(result):
            if result_elsewhere and not any(tensor is given for given in inputs):
                sent(tensor)
        return _other_copy(result, args, elsewhere=result_elsewhere)


def _on_the_cpu(func: Any, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any], bool | None]:
    """Return arguments with the CPU for any device, and whether they named the second one; None if they named none."""
    asked = kwargs.get("device")
    if asked is not None:
        kwargs = {**kwargs, "device": "cpu"}
    elif func is Tensor.to:
        asked = next((each for each in args[1:] if isinstance(each, str | torch.device)), None)
        other = next((each for each in args[1:] if isinstance(each, Tensor)), None)
        if other is not None:
            return args, kwargs, is_elsewhere(other)
        args = tuple("cpu" if isinstance(each, str | torch.device) else each for each in args)
    return args, kwargs, None if asked is None else torch.device(asked).type == NAME


def _refuse_two_devices(func: Any, inputs: list[Tensor]) -> None:
    places = {is_elsewhere(tensor) for tensor in inputs if tensor.dim() or is_elsewhere(tensor)}
    name = getattr(func, "__name__", str(func))
    assert len(places) < 2, f"{name}: tensors of two devices, {[(is_elsewhere(t), tuple(t.shape)) for t in inputs]}"


def _refuse_generator(func: Any, generator: Any, elsewhere: bool) -> None:
    if isinstance(generator, _Generator):
        assert generator.asked_for == (NAME if elsewhere else "cpu"), f"{func.__name__}: a generator of another device"


def _other_copy(result: Any, args: tuple, *, elsewhere: bool) -> Any:
    """Return a new tensor where moving one to the CPU, on which it is already, returned the same object."""
    if isinstance(result, Tensor) and args and result is args[0] and is_elsewhere(result) != elsewhere:
        result = result.detach().alias() if hasattr(result, "alias") else result.detach()
        result.elsewhere = elsewhere
    return result


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(tuple(value.values()))
    elif isinstance(value, tuple | list):
        for each in value:
            yield from _tensors(each)


class Sender:
    """An object of somebody else's, whose methods take and return tensors of the second device."""

    def __init__(self, inner: Any, mode: SecondDevice) -> None:
        self._inner, self._mode = inner, mode

    def __getattr__(self, name: str) -> Any:
        """Return the attribute; a method checks what it is given."""
        found = getattr(self._inner, name)
        if not callable(found) or isinstance(found, ModuleType):
            return found

        def method(*args: Any, **kwargs: Any) -> Any:
            for tensor in _tensors((args, kwargs)):
                assert is_elsewhere(tensor) or not tensor.dim(), f"{name} was given a tensor of the CPU"
            with self._mode.blind():
                result = found(*args, **kwargs)
                for tensor in _tensors(result):
                    sent(tensor)
            return result

        return method


_to = torch.nn.Module.to


def _moved(module: torch.nn.Module, *args: Any, **kwargs: Any) -> torch.nn.Module:
    """Move a module: PyTorch changes its parameters in place, so they keep what they counted as."""
    args, kwargs, elsewhere = _on_the_cpu(Tensor.to, (None, *args), kwargs)
    module = _to(module, *args[1:], **kwargs)
    for tensor in (*module.parameters(), *module.buffers()):
        if elsewhere is not None:
            tensor.elsewhere = elsewhere  # type: ignore[attr-defined]
    return module


@contextmanager
def second_device(patch: pytest.MonkeyPatch) -> Iterator[SecondDevice]:
    """Let ``device="cuda"`` work in this process, without a GPU."""
    patch.setattr(torch, "Generator", _Generator)
    patch.setattr(torch.nn.Module, "to", _moved)
    with SecondDevice() as mode:
        yield mode
