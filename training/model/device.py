"""Which device an estimator runs on, in which precision: the only place that decides."""

from __future__ import annotations

import functools
import time
from typing import Literal, NamedTuple

import torch

from training.settings import Device, Precision
from warehouse.errors import InputError

_EMULATED = (
    "precision is bf16, but this {device} only emulates it, up to a hundred times slower than fp32; use auto or fp32"
)
_LEAST_GAIN = 0.8
"""The most that bf16 may take of the time of fp32 to be worth its rounding."""


class Place(NamedTuple):
    """A device and the precision used on it, with a warning for the user or an empty text."""

    device: torch.device
    precision: Literal["bf16", "fp32"]
    warning: str = ""


def place_of(device: Device = "auto", precision: Precision = "auto") -> Place:
    """Return the device and precision that the settings mean on this machine.

    The device "auto" is the GPU if there is one; the precision "auto" is bf16 if the device computes in it and gains
    by it, else fp32. bf16 can be forced; if the device only emulates it, `warning` says what that costs.

    Raises:
        InputError: the device is cuda, but there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device is cuda, but torch finds no CUDA device on this machine; use auto or cpu")
    chosen = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
    native = computes_in_bf16(chosen)
    if precision == "auto":
        return Place(chosen, "bf16" if native and _gains_by_bf16(chosen) else "fp32")
    if precision == "bf16" and not native:
        return Place(chosen, "bf16", _EMULATED.format(device="GPU" if chosen.type == "cuda" else "CPU"))
    return Place(chosen, precision)


def computes_in_bf16(device: torch.device) -> bool:
    """Return whether the device has bf16 instructions: CUDA 8.0 or later, or a CPU with AVX512_BF16 or AMX.

    Other devices emulate bf16.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return _cpu_has("avx512_bf16", "amx_bf16", "bf16")


def _cpu_has(*names: str) -> bool:
    has = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(has.get(name, False) for name in names)


def _gains_by_bf16(device: torch.device) -> bool:
    """Return whether bf16, which a device computes in, is faster there than fp32.

    With AVX512_BF16 alone that depends on the processor, and on some it is half as fast: a short measurement decides.
    """
    if device.type == "cuda" or _cpu_has("amx_bf16"):
        return True
    return _seconds(torch.bfloat16) < _LEAST_GAIN * _seconds(torch.float32)


@functools.cache
def _seconds(kind: torch.dtype) -> float:
    """Return the CPU seconds of a matrix product in one thread: the least of several, against other programs."""
    rows, weights = torch.ones(256, 512, dtype=kind), torch.ones(512, 512, dtype=kind)

    def once() -> float:
        started = time.thread_time()
        torch.nn.functional.linear(rows, weights)
        return time.thread_time() - started

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return min(once() for _ in range(20))
    finally:
        torch.set_num_threads(threads)
