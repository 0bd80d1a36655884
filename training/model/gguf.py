"""Read a GGUF file with transformers without its repeated work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any


@contextmanager
def read_once() -> Iterator[None]:
    """Let transformers read each GGUF file only once, and hide its progress bar, which has no switch.

    Otherwise it reads the file three times, for the tokenizer, the configuration and the weights, and builds the table
    of tensor names once per module: half a minute for the embedded model on a slow core.
    """
    import gguf
    from transformers import modeling_gguf_pytorch_utils as reading

    with ExitStack() as stack:
        _replace(stack, gguf, "GGUFReader", cache(gguf.GGUFReader))
        _replace(stack, gguf, "get_tensor_name_map", cache(gguf.get_tensor_name_map))
        _replace(stack, reading, "tqdm", _no_bar)
        yield


def _no_bar(items: Iterable[Any], **_: Any) -> Iterable[Any]:
    return items


def _replace(stack: ExitStack, module: Any, name: str, value: Any) -> None:
    stack.callback(setattr, module, name, getattr(module, name))
    setattr(module, name, value)
