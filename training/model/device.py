"""Which device an estimator runs on, in which precision: the only place that decides."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch

from training.settings import Device, Precision
from warehouse.errors import InputError

_EMULATED = (
    "precision is bf16, but this {device} only emulates it, up to a hundred times slower than fp32; use auto or fp32"
)


class Place(NamedTuple):
    """A device and the precision used on it, with a warning for the user or an empty text."""

    device: torch.device
    precision: Literal["bf16", "fp32"]
    warning: str = ""


def place_of(device: Device = "auto", precision: Precision = "auto") -> Place:
    """Return the device and precision that the settings mean on this machine.

    The device "auto" is the GPU if there is one; the precision "auto" is bf16 if the device computes in it, else fp32.
    bf16 can be forced; if the device only emulates it, `warning` says what that costs.

    Raises:
        InputError: the device is cuda, but there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device is cuda, but torch finds no CUDA device on this machine; use auto or cpu")
    chosen = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
    native = computes_in_bf16(chosen)
    if precision == "auto":
        return Place(chosen, "bf16" if native else "fp32")
    if precision == "bf16" and not native:
        return Place(chosen, "bf16", _EMULATED.format(device="GPU" if chosen.type == "cuda" else "CPU"))
    return Place(chosen, precision)


def computes_in_bf16(device: torch.device) -> bool:
    """Return whether the device has bf16 instructions: CUDA 8.0 or later, or a CPU with AVX512_BF16 or AMX.

    Other devices emulate bf16.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    has = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(has.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
