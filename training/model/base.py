"""The base model of an estimator: loaded, and checked before it is used."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from training.model.gguf import read_once
from training.model.network import read
from training.model.packing import pack
from training.model.prompt import check_template
from warehouse.atomic import atomic_folder
from warehouse.errors import InputError

WEIGHTS = "model.safetensors"
_ADAPTER = "adapter_config.json"
_MOST_TOKENS = 512
_NOISE = 0.02
_PAD = "<|pad|>"
_SAMPLE = "Two children build a boat of red paper and wood, and a woman walks her dog along the river."
_CLOSE = 1e-2  # of the spread of the logits


def load_base(base: str | Path, cache: Path) -> tuple[Any, Any]:
    """Return the model, with float32 weights, and its tokenizer, with a pad token.

    Args:
        base: A GGUF file, which is converted once into a folder under `cache`, or a folder or name in Hugging Face
            format.
        cache: Where converted models are kept.

    Raises:
        InputError: it cannot be loaded, lacks weights, is not a causal language model, or has no usable chat template.
    """
    place = _converted(Path(base), cache) if str(base).endswith(".gguf") else base
    model, tokenizer = pretrained(place)
    check_template(tokenizer, str(base))
    _check_reading(model, tokenizer, str(base))
    return model, tokenizer


def pretrained(place: str | Path) -> tuple[Any, Any]:
    """Return a causal language model in Hugging Face format, with float32 weights, and its tokenizer with a pad token.

    Raises:
        InputError: it cannot be loaded, or lacks weights, which would be random.
    """
    from transformers import AutoModelForCausalLM

    model, tokenizer, lacking = read_folder(place, AutoModelForCausalLM, "language model")
    if lacking:
        raise InputError(
            f"{place}: {len(lacking)} weights of a causal language model are missing or have another shape, such as "
            f'{lacking[0]}; use a complete causal model (an encoder such as BERT needs training.kind = "encoder")'
        )
    _give_pad(model, tokenizer)
    return model, tokenizer


def read_folder(place: str | Path, reader: Any, what: str) -> tuple[Any, Any, list[str]]:
    """Return a model in Hugging Face format, with float32 weights, its tokenizer, and the names of missing weights.

    A model of the Hub that was loaded once is read from its cache, so that without a network nobody waits for the Hub.

    Args:
        place: A folder, or a name on the Hub.
        reader: The class of transformers that reads it, such as `AutoModel`.
        what: What it is called in errors.

    Raises:
        InputError: it cannot be loaded, or is an adapter.
    """
    if (Path(place) / _ADAPTER).is_file():  # transformers would put it onto whatever its base is called here
        raise InputError(
            f"{place} has an adapter alone; odds merge writes an estimator as whole weights, which can be used"
        )
    with _quiet():
        try:
            model, loaded, tokenizer = _loaded(place, reader)
        except Exception as error:  # a broken or foreign checkpoint may raise anything
            raise InputError(_not_loaded(place, what, error)) from error
    return model, tokenizer, sorted({*loaded["missing_keys"], *(key for key, *_ in loaded["mismatched_keys"])})


def _loaded(place: str | Path, reader: Any) -> tuple[Any, Any, Any]:
    from transformers import AutoTokenizer

    if (cached := cached_base(place)) is not None:
        # What another program left in the cache may lack files that the Hub has, a chat template among them.
        with suppress(Exception):
            found = _loaded(cached, reader)
            if found[-1].chat_template or not found[0].can_generate():
                return found
    tokenizer = AutoTokenizer.from_pretrained(str(place))
    model, loaded = reader.from_pretrained(str(place), dtype=torch.float32, output_loading_info=True)
    return model, loaded, tokenizer


def cached_base(place: str | Path) -> Path | None:
    """Return where the cache of the Hub has the newest version that it knows of the model of a name, if it has one."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    if Path(place).exists():
        return None
    try:
        return Path(snapshot_download(str(place), local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError):
        return None


def embeddings(model: Any) -> dict[str, Any]:
    """Return the matrices with one row per token by module name: the input embedding and an untied output."""
    found = {"input": model.get_input_embeddings()}
    if model.get_output_embeddings().weight is not found["input"].weight:
        found["output"] = model.get_output_embeddings()
    names = {id(module): name for name, module in model.named_modules()}
    return {names[id(module)]: module for module in found.values()}


def add_rows(model: Any, tokenizer: Any, tokens: list[str], seed: int) -> None:
    """Add a row to the model's matrices for each of some new tokens: the mean row plus a little noise from `seed`."""
    if len(tokenizer) > model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    new = tokenizer.convert_tokens_to_ids(tokens)
    for matrix in embeddings(model).values():
        _initialise(matrix.weight.data, new, seed)


def check_length(model: Any, max_length: int, base: str, most: int | None = None) -> None:
    """Raise `InputError` if the model has fewer positions, or reads fewer tokens, than prompts may have."""
    positions = [getattr(model.config, "max_position_embeddings", None), most]
    known = [each for each in positions if isinstance(each, int) and each > 0]
    if known and (least := min(known)) < max_length:
        raise InputError(
            f"{base} reads {least} tokens at most, but max_length is {max_length}; set training.max_length to {least} "
            "or less"
        )


def most_tokens(model: Any) -> int:
    """Return how many tokens a model from elsewhere is to read: 512, or what it has positions for.

    Some, such as RoBERTa, count positions from 2.
    """
    positions = getattr(model.config, "max_position_embeddings", None)
    return min(positions - 2, _MOST_TOKENS) if isinstance(positions, int) and positions > 2 else _MOST_TOKENS


def line_of(error: Exception) -> str:
    """Return the first line of an error's message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@torch.no_grad()
def _check_reading(model: Any, tokenizer: Any, base: str) -> None:
    """Raise `InputError` unless the model reads left to right, and computes numbers."""
    model.eval()
    ids = _sample_ids(tokenizer)
    try:
        alone, other = (_logits(model, each) for each in (ids, [*ids[:-1], ids[0]]))
    except Exception as error:
        raise InputError(f"{base}: this kind of model cannot be read: {line_of(error)}") from error
    if not torch.isfinite(alone).all():
        raise InputError(f"{base}: the model computes NaN; its weights are corrupt")
    if (alone[:-1] - other[:-1]).abs().max() > _near(alone):
        raise InputError(f"{base} is not a causal language model: its outputs depend on later tokens")


@torch.no_grad()
def reads_trees(model: Any, tokenizer: Any) -> bool:
    """Return whether a model answers prompts that share a row, and their start, as if each were alone."""
    model.eval()
    ids = _sample_ids(tokenizer)
    prompts = [np.array(each, dtype=np.int32) for each in (ids, [*ids[:3], *ids[:2]], ids[:2])]
    device = next(model.parameters()).device
    batch = pack(prompts, device).batch
    try:
        together = read(model, batch).flatten(0, 1)[batch.answers].float()
    except Exception:  # a foreign model may raise anything
        return False
    alone = torch.stack([_logits(model, each.tolist())[-1] for each in prompts])
    return bool((together - alone).abs().max() <= _near(alone))


def _sample_ids(tokenizer: Any) -> list[int]:
    found: list[int] = tokenizer(_SAMPLE, add_special_tokens=False)["input_ids"][:6]
    return found


def _logits(model: Any, ids: list[int]) -> torch.Tensor:
    """The logits [length, vocab] of one sequence of tokens."""
    device = next(model.parameters()).device
    logits: torch.Tensor = model(input_ids=torch.tensor([ids], device=device), use_cache=False).logits[0].float()
    return logits


def _near(logits: torch.Tensor) -> float:
    """How far apart two computations of these logits may be."""
    return _CLOSE * logits.std().item() + 1e-5


def _give_pad(model: Any, tokenizer: Any) -> None:
    """Give a tokenizer a pad token. Any special token will do, since padding is masked."""
    if tokenizer.pad_token_id is not None:
        return
    special = [str(each) for each in tokenizer.added_tokens_decoder.values() if each.special]
    known = [tokenizer.eos_token, tokenizer.bos_token, tokenizer.unk_token, *special]
    if found := next((token for token in known if token), None):
        tokenizer.pad_token = found
        return
    tokenizer.add_special_tokens({"pad_token": _PAD})
    add_rows(model, tokenizer, [_PAD], seed=0)


def _not_loaded(place: str | Path, what: str, error: Exception) -> str:
    if Path(place).is_dir() and not (Path(place) / "config.json").is_file():
        return f"{place}: no {what} could be loaded: it has no config.json, so it is not in Hugging Face format"
    if Path(place).exists():
        return f"{place}: no {what} could be loaded: {line_of(error)}"
    said = line_of(error).rstrip(".")
    return (
        f"{place}: there is no such folder; as a name on the Hub, no {what} could be loaded: {said}; if a folder has "
        "it, set training.base to that"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers: our errors say what is wrong, and the caller shows progress."""
    from transformers import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    before = logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _converted(gguf: Path, cache: Path) -> Path:
    """Return the converted folder of a GGUF file; its name has the file's hash, so it is never stale."""
    try:
        with gguf.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{gguf}: the base model cannot be read: {line_of(error)}") from error
    folder = cache / f"{gguf.stem}-{digest[:12]}"
    if not folder.exists():
        try:
            with atomic_folder(folder) as scratch:
                _convert(gguf, scratch)
        except InputError:
            if not folder.exists():  # otherwise another process has just created it
                raise
    return folder


def _convert(gguf: Path, folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        with _quiet(), read_once():
            tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
            model: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{gguf}: not a GGUF file of a known language model: {line_of(error)}") from error
    model.hf_quantizer = None  # the weights are plain floats now, but transformers would refuse to save them
    del model.config.quantization_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _initialise(weight: torch.Tensor, rows: list[int], seed: int) -> None:
    old = torch.ones(len(weight), dtype=torch.bool)
    old[rows] = False
    noise = torch.from_numpy(np.random.default_rng(seed).standard_normal((len(rows), weight.shape[1])))
    weight[rows] = (weight[old].mean(dim=0) + _NOISE * weight[old].std() * noise).to(weight.dtype)
