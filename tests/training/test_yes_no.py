"""The base before any fit, against the library's own model on the whole prompt."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.fixtures.estimator import Base
from training.model.prompt import render, yes_no_question
from training.model.saved import EstimatorInfo
from training.model.yes_no import NO, YES, load_yes_no_base
from warehouse.errors import InputError
from warehouse.records import PropositionText

TEXTS = [
    ("A woman walks her dog along the river.", "The dog is out."),
    ("The lamp is on.", "There is light."),
    ("The lamp is on.", "Two children build a boat."),
]


def estimator_of(folder: Path, base: Path, weights: str = "adapter") -> Path:
    folder.mkdir()
    info = EstimatorInfo(base=str(base), levels=10, max_length=200, weights=weights)  # type: ignore[arg-type]
    (folder / "estimator.json").write_text(info.model_dump_json())
    return folder


def answering(base: Path, folder: Path) -> Path:
    """Save the tiny base with tokens for Yes and No."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(base), AutoModelForCausalLM.from_pretrained(base)
    tokenizer.add_tokens([YES, NO])
    with torch.random.fork_rng():
        torch.manual_seed(2)
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    for each in (model, tokenizer):
        each.save_pretrained(folder)
    return folder


def test_it_is_the_probability_of_yes_against_no(tiny_base: Base, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = answering(tiny_base.path, tmp_path / "base")
    tokenizer, model = AutoTokenizer.from_pretrained(base), AutoModelForCausalLM.from_pretrained(base)
    folder = estimator_of(tmp_path / "estimator", base)
    asked = load_yes_no_base(folder, "cpu", "fp32")
    rows = [PropositionText(proposition_id=str(i), premise=p, hypothesis=h) for i, (p, h) in enumerate(TEXTS)]
    found = dict(asked.answers(rows))
    for key, (premise, hypothesis) in enumerate(TEXTS):
        prompt = render(tokenizer, premise, hypothesis, yes_no_question)
        assert "Answer Yes or No." in prompt
        inputs = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
        with torch.no_grad():
            likely = torch.softmax(model(**inputs).logits[0, -1].double(), dim=-1)
        yes, no = (float(likely[tokenizer.convert_tokens_to_ids(word)]) for word in (YES, NO))
        assert found[str(key)] == pytest.approx(yes / (yes + no), abs=1e-5)
    assert len(set(found.values())) == 3


def test_what_has_no_base_to_ask_is_refused(tiny_base: Base, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="encoder: only an estimator fitted from a language model has a base to ask"):
        load_yes_no_base(estimator_of(tmp_path / "encoder", tiny_base.path, "encoder"))
    with pytest.raises(InputError, match="its tokens do not tell Yes from No"):
        load_yes_no_base(estimator_of(tmp_path / "bytes", tiny_base.path))
