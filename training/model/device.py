"""Where an estimator runs, and in which precision: the one place that decides both."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch

from training.settings import Device, Precision
from warehouse.errors import InputError

_EMULATED = (
    "precision is bf16, but this {device} only emulates it, up to a hundred times slower than fp32; use auto or fp32"
)


class Place(NamedTuple):
    """A device and the precision used on it. `warning` is one line for a person, empty if there is nothing to say."""

    device: torch.device
    precision: Literal["bf16", "fp32"]
    warning: str = ""


def place_of(device: Device = "auto", precision: Precision = "auto") -> Place:
    """The place that these settings mean on this machine.

    The device "auto" is the GPU where there is one; the precision "auto" is bf16 where the device computes in it, else
    fp32. bf16 can be forced anywhere; where the device only emulates it, `warning` says what that costs.

    Raises InputError for the device cuda on a machine without one.
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
    """Whether the device has instructions for bf16: CUDA from compute capability 8.0, a CPU with AVX512_BF16 or AMX.

    Elsewhere torch computes in bf16 too, but emulates it.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    has = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(has.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
