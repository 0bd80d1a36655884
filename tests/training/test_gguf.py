from __future__ import annotations

import gguf
from transformers import modeling_gguf_pytorch_utils as reading

from training.model.gguf import read_once


def test_transformers_and_gguf_are_left_as_they_were() -> None:
    names = [(gguf, "GGUFReader"), (gguf, "get_tensor_name_map"), (reading, "tqdm")]
    before = [getattr(module, name) for module, name in names]
    with read_once():
        assert all(getattr(module, name) is not old for (module, name), old in zip(names, before, strict=True))
    assert [getattr(module, name) for module, name in names] == before
