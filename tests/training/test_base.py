"""Bases of other makes: what they lack is worked round, or refused in one line. All of them are tiny and random."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    BertLMHeadModel,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from tests.fixtures.estimator import CORPUS, Base, merge_estimator, shard_table
from tests.fixtures.http import serving
from tests.training.test_estimator import assert_same, estimator, scores_of
from training.fit.loop import fit
from training.model.base import load_base
from training.model.estimator import Estimator
from training.model.prompt import question, render
from training.model.texts import texts
from training.settings import FitSettings
from warehouse.errors import InputError

STRICT = """{% for m in messages %}{% if m['role'] == 'assistant' %}{{ raise_exception('no assistant') }}{% endif %}
{{- m['content'] }}{% endfor %}"""
TRIMMING = """{% for m in messages %}<|start|>{{ m['role'] }}: {{ m['content'] | trim }}<|end|>{% endfor %}
{%- if add_generation_prompt %}<|start|>assistant: {% endif %}"""
SHOUTING = """{% for m in messages %}<|start|>{{ m['content'] if m['role'] == 'user' else m['content'] | upper }}<|end|>
{%- endfor %}{% if add_generation_prompt %}<|start|>{% endif %}"""
BROKEN = "{{ raise_exception('this model does not chat') }}"
SILENT = "{% for m in messages %}{{ m['role'] }}: {% endfor %}"


def with_template(tiny: Base, folder: Path, template: str) -> Base:
    shutil.copytree(tiny.path, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return Base(folder, tiny.cache)


def test_an_adapter_is_refused_as_a_base_and_a_merged_one_goes_on(tiny_base: Base, tmp_path: Path) -> None:
    how = FitSettings(base=str(tiny_base.path), device="cpu", epochs=1, precision="fp32")
    fit(shard_table(16), shard_table(8, start=16), how, tiny_base.cache, tmp_path / "one")
    on_it = how.model_copy(update={"base": str(tmp_path / "one")})
    with pytest.raises(InputError, match="one has an adapter alone; odds merge writes an estimator as whole weights"):
        fit(shard_table(16), shard_table(8, start=16), on_it, tiny_base.cache, tmp_path / "two")
    merge_estimator(tmp_path / "one", tmp_path / "whole")
    still = {"base": str(tmp_path / "whole"), "learning_rate": 1e-12, "level_learning_rate": 1e-12}
    fit(shard_table(16), shard_table(8, start=16), how.model_copy(update=still), tiny_base.cache, tmp_path / "two")
    assert_same(*(scores_of(Estimator.load(tmp_path / name)) for name in ("one", "two")))


def bare_tokenizer(special: list[str]) -> PreTrainedTokenizerFast:
    """A tokenizer that declares neither an eos nor a pad token."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet)
    )
    return PreTrainedTokenizerFast(tokenizer_object=raw)  # type: ignore[no-untyped-call]


def saved(folder: Path, make: Callable[[int], torch.nn.Module], special: list[str] | None = None) -> Base:
    tokenizer = bare_tokenizer(["<s>", "</s>"] if special is None else special)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = make(len(tokenizer))
    model.save_pretrained(folder)  # type: ignore[operator]
    tokenizer.save_pretrained(folder)
    return Base(folder, folder.parent / "cache")


def llama(vocabulary: int) -> LlamaForCausalLM:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            initializer_range=0.2,
            tie_word_embeddings=True,
        )
    )


def gpt2(vocabulary: int) -> GPT2LMHeadModel:
    return GPT2LMHeadModel(GPT2Config(vocab_size=vocabulary, n_embd=32, n_layer=2, n_head=4, n_positions=128))


def bert_config(vocabulary: int) -> BertConfig:
    return BertConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=64,
        initializer_range=0.2,
    )


def test_any_base_that_is_taken_scores_the_same_saved_and_merged(tiny_base: Base, tmp_path: Path) -> None:
    bases = [
        saved(tmp_path / "without-eos", llama),
        saved(tmp_path / "without-any-special-token", llama, special=[]),
        saved(tmp_path / "gpt2", gpt2),
        with_template(tiny_base, tmp_path / "strict", STRICT),
        with_template(tiny_base, tmp_path / "trimming", TRIMMING),
        with_template(tiny_base, tmp_path / "shouting", SHOUTING),
    ]
    for base in bases:
        subject = estimator(base, disturb=True)
        assert subject.tokenizer.pad_token_id is not None
        folder = tmp_path / f"{base.path.name}-fitted"
        folder.mkdir()
        subject.save(folder)
        expected = scores_of(subject)
        assert_same(expected, scores_of(Estimator.load(folder, "cpu", "fp32")))
        merge_estimator(folder, tmp_path / f"{base.path.name}-merged")
        assert_same(expected, scores_of(Estimator.load(tmp_path / f"{base.path.name}-merged", "cpu", "fp32")))


@pytest.mark.parametrize(
    ("template", "beginning", "end"),
    [
        (STRICT, "### Question: ", "is true?\n\n### Answer:"),
        (TRIMMING, "<|start|>user: ### Question: ", "is true?<|end|><|start|>assistant: ### Answer:"),
        (SHOUTING, "<|start|>### Question: ", "is true?\n\n<|end|><|start|>### Answer:"),
    ],
)
def test_the_answer_begins_where_the_template_lets_it(
    tiny_base: Base, tmp_path: Path, template: str, beginning: str, end: str
) -> None:
    _, tokenizer = load_base(*with_template(tiny_base, tmp_path / "base", template))
    (each,) = texts(shard_table(1))
    text = render(tokenizer, each.premise, each.hypothesis)
    assert text.startswith(beginning)
    assert text.endswith(end)
    assert question(each.premise, each.hypothesis).strip() in text


@pytest.mark.parametrize(
    ("template", "message"), [(BROKEN, "this model does not chat"), (SILENT, "omits or changes the question")]
)
def test_a_template_that_cannot_be_used_is_one_line(
    tiny_base: Base, tmp_path: Path, template: str, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_base(*with_template(tiny_base, tmp_path / "base", template))
    assert "\n" not in str(caught.value)


def headless(untied: Base, folder: Path) -> Base:
    shutil.copytree(untied.path, folder)
    path = folder / "model.safetensors"
    kept = {name: weights for name, weights in load_file(path).items() if name != "lm_head.weight"}
    path.unlink()
    save_file(kept, path, metadata={"format": "pt"})
    return Base(folder, untied.cache)


def test_a_checkpoint_whose_weights_would_be_drawn_at_random_is_refused(
    untied_base: Base, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bases = [
        headless(untied_base, tmp_path / "headless"),
        saved(tmp_path / "encoder", lambda n: BertModel(bert_config(n))),
    ]
    for base in bases:
        with pytest.raises(InputError, match="weights of a causal language model are missing") as caught:
            load_base(*base)
        assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_a_classifier_is_no_estimator_and_the_line_says_how_to_measure_it(tmp_path: Path) -> None:
    folder, _ = saved(tmp_path / "classifier", lambda n: BertForSequenceClassification(bert_config(n)))
    with pytest.raises(
        InputError, match=r"weights .* are missing .*; odds evaluate --against measures classifiers"
    ) as found:
        Estimator.load(folder)
    assert "training" not in str(found.value)


def test_a_whole_encoder_is_refused_since_it_reads_in_both_directions(tmp_path: Path) -> None:
    base = saved(tmp_path / "encoder", lambda n: BertLMHeadModel(bert_config(n)))
    with pytest.raises(InputError, match="is not a causal language model"):
        load_base(*base)


def test_damaged_weights_are_refused(untied_base: Base, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    shutil.copytree(untied_base.path, folder)
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][:] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="computes NaN"):
        load_base(folder, untied_base.cache)


def test_prompts_longer_than_the_base_reads_are_refused_before_the_fit(tmp_path: Path) -> None:
    base = saved(tmp_path / "gpt2", gpt2)
    with pytest.raises(InputError, match="reads 128 tokens at most, but max_length is 256"):
        fit(shard_table(4), shard_table(4), FitSettings(base=str(base.path)), base.cache, tmp_path / "model")
    chosen = FitSettings(base=str(base.path), max_length=128, epochs=1, device="cpu", lora_rank=2)
    assert fit(shard_table(4), shard_table(4), chosen, base.cache, tmp_path / "model").steps == 1


def test_a_missing_base_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such folder") as caught:
        load_base(tmp_path / "missing", tmp_path)
    assert "\n" not in str(caught.value)


def test_a_base_in_the_cache_of_the_hub_is_read_without_asking_the_hub(tiny_base: Base, tmp_path: Path) -> None:
    place = tmp_path / "hub" / "models--made--up"
    shutil.copytree(tiny_base.path, place / "snapshots" / "first")
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("first", encoding="utf-8")
    asked: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_GET = do_HEAD  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    script = (
        "import sys; from training.model.base import pretrained as read; print(read(sys.argv[1])[0].num_parameters())"
    )

    def load(name: str, hub: str) -> subprocess.CompletedProcess[str]:
        known = {"HF_HOME": str(tmp_path), "HF_ENDPOINT": hub, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")} | known
        return subprocess.run(
            [sys.executable, "-c", script, name],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    with serving(Hub) as hub:
        found = load("made/up", hub)
        assert found.returncode == 0, found.stderr
        assert int(found.stdout) > 1000
        assert not asked
        other = load("made/other", hub)
    assert "made/other: there is no such folder; as a name on the Hub, no language model" in other.stderr
    assert asked
