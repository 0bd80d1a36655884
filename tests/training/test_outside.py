"""Models from elsewhere, against the library's own pipelines and models."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from flows.evaluate_suites import Subjects, evaluate_suites
from flows.suites import import_suite
from tests.fixtures.estimator import Base, in_use, merge_estimator
from tests.flows.test_suites import NEW, judged
from tests.training.test_estimator import estimator
from tests.training.test_yes_no import TEXTS, answering
from training.model.outside import outside_model
from warehouse.errors import InputError
from warehouse.records import PropositionText

ROWS = [PropositionText(proposition_id=str(i), premise=p, hypothesis=h) for i, (p, h) in enumerate(TEXTS)]
NLI = {0: "CONTRADICTION", 1: "Neutral", 2: "entailment"}


def classifier(base: Path, folder: Path, labels: dict[int, str], *, segments: bool = True, **config: Any) -> Path:
    """Save an encoder with a random classifier, whose tokenizer tells it where the hypothesis begins or does not."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = AutoModelForSequenceClassification.from_pretrained(
            base, num_labels=len(labels), id2label=labels, label2id={name: n for n, name in labels.items()}, **config
        )
        torch.nn.init.normal_(model.get_submodule("score" if hasattr(model, "score") else "classifier").weight)
    model.save_pretrained(folder)
    names = ["input_ids", *(["token_type_ids"] if segments else []), "attention_mask"]
    AutoTokenizer.from_pretrained(base, model_input_names=names).save_pretrained(folder)
    return folder


def answers(folder: Path) -> list[float]:
    load = outside_model(folder, "cpu", "fp32")
    assert load is not None
    found = dict(load().answers(ROWS))
    return [found[str(row)] for row in range(len(ROWS))]


def from_library(folder: Path, function: str) -> list[dict[str, float]]:
    """What a pipeline of the library says: the value of each label."""
    from transformers import pipeline

    asked = pipeline("text-classification", str(folder), device="cpu", top_k=None, function_to_apply=function)
    found: Any = asked([{"text": premise, "text_pair": hypothesis} for premise, hypothesis in TEXTS])
    return [{each["label"]: each["score"] for each in one} for one in found]


def random(kind: str, base: Path, folder: Path) -> Path:
    """Save a random classifier of another kind, with the tokenizer of the tiny encoder."""
    import transformers

    sizes: dict[str, Any] = {
        "BartConfig": {
            "d_model": 64, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
            "decoder_attention_heads": 4, "encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "pad_token_id": 0,
            "bos_token_id": 2, "eos_token_id": 3, "decoder_start_token_id": 3,
        },
        "DebertaV2Config": {
            "type_vocab_size": 0, "relative_attention": True, "position_buckets": 64, "pos_att_type": ["p2c", "c2p"],
            "position_biased_input": False,
        },
        "RobertaConfig": {"type_vocab_size": 1, "pad_token_id": 1},
    }  # fmt: skip
    common = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    labels = {"num_labels": 3, "id2label": NLI, "label2id": {name: number for number, name in NLI.items()}}
    config = getattr(transformers, kind)(
        vocab_size=200,
        max_position_embeddings=512,
        **labels,
        **(sizes[kind] if kind == "BartConfig" else common | sizes[kind]),
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = transformers.AutoModelForSequenceClassification.from_config(config)  # type: ignore[no-untyped-call]
        for each in model.parameters():
            if each.dim() > 1:
                torch.nn.init.normal_(each, std=0.2)
    model.save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return folder


def test_in_bf16_only_the_model_is_rounded(tiny_encoder: Base, tmp_path: Path) -> None:
    load = outside_model(classifier(tiny_encoder.path, tmp_path / "nli", NLI), "cpu", "bf16")
    assert load is not None
    reader = load()
    network: Any = reader.network
    batch = reader.batch(reader.encode(ROWS).prompts()).batch
    with torch.no_grad(), reader.autocast():
        logits, found = network.logits(batch), network(batch)
    entailed = torch.softmax(logits.float(), dim=1).double().numpy() @ [0, 0.5, 1]
    assert found.double().exp()[:, 1].tolist() == pytest.approx(entailed.tolist(), abs=1e-6)


def test_a_long_text_is_cut_to_the_positions_of_the_model(tiny_encoder: Base, tmp_path: Path) -> None:
    folder = classifier(tiny_encoder.path, tmp_path / "long", NLI)
    long = PropositionText(proposition_id="0", premise="It rains. " * 700, hypothesis="It is wet.")
    load = outside_model(folder, "cpu", "fp32")
    assert load is not None
    assert 0 < dict(load().answers([long]))["0"] < 1


@pytest.mark.parametrize("kind", ["BartConfig", "DebertaV2Config", "RobertaConfig"])
def test_the_common_kinds_of_classifiers_answer_as_in_the_library(
    tiny_encoder: Base, tmp_path: Path, kind: str
) -> None:
    folder = random(kind, tiny_encoder.path, tmp_path / kind)
    expected = [each["entailment"] + each["Neutral"] / 2 for each in from_library(folder, "softmax")]
    assert answers(folder) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("segments", [True, False])
def test_entailment_counts_whole_and_neutral_half(tiny_encoder: Base, tmp_path: Path, segments: bool) -> None:
    folder = classifier(tiny_encoder.path, tmp_path / "nli", NLI, segments=segments)
    expected = [each["entailment"] + each["Neutral"] / 2 for each in from_library(folder, "softmax")]
    assert answers(folder) == pytest.approx(expected, abs=1e-5)
    assert len(set(expected)) == len(TEXTS)
    two = classifier(tiny_encoder.path, tmp_path / "two", {0: "entailment", 1: "not_entailment"})
    assert answers(two) == pytest.approx([each["entailment"] for each in from_library(two, "softmax")], abs=1e-5)


def test_one_output_is_a_logit_or_after_a_regression_the_answer(tiny_encoder: Base, tmp_path: Path) -> None:
    folder = classifier(tiny_encoder.path, tmp_path / "logit", {0: "LABEL_0"})
    expected = [each["LABEL_0"] for each in from_library(folder, "sigmoid")]
    assert answers(folder) == pytest.approx(expected, abs=1e-5)
    folder = classifier(tiny_encoder.path, tmp_path / "value", {0: "LABEL_0"}, problem_type="regression")
    raw = [each["LABEL_0"] for each in from_library(folder, "none")]
    assert answers(folder) == pytest.approx([min(max(value, 0), 1) for value in raw], abs=1e-5)


def test_a_language_model_is_asked_yes_or_no_unless_it_has_levels(tiny_base: Base, tmp_path: Path) -> None:
    base = answering(tiny_base.path, tmp_path / "base")
    assert len(set(answers(base))) == len(TEXTS)
    (folder := tmp_path / "estimator").mkdir()
    estimator(tiny_base, disturb=True).save(folder)
    merge_estimator(folder, tmp_path / "whole")
    published = tmp_path / "whole"
    (published / "estimator.json").unlink()  # as a checkpoint from elsewhere
    assert [outside_model(each) for each in (folder, published, tmp_path)] == [None] * 3


@pytest.mark.parametrize(
    ("kind", "labels", "line"),
    [
        (
            "encoder",
            {0: "joy", 1: "anger"},
            "labels joy, anger; id2label .* from 0 on, and one of them entailment",
        ),
        (
            "encoder",
            {1: "entailment", 2: "neutral"},
            "labels without a name, entailment; id2label",
        ),
        ("causal", NLI, "answers differently beside longer texts; give its scores with --scores"),
    ],
)
def test_a_classifier_that_cannot_be_read_is_one_line(
    tiny_encoder: Base, tiny_base: Base, tmp_path: Path, kind: str, labels: dict[int, str], line: str
) -> None:
    folder = classifier({"encoder": tiny_encoder, "causal": tiny_base}[kind].path, tmp_path / "x", labels)
    load = outside_model(folder)
    assert load is not None
    with pytest.raises(InputError, match=line) as error:
        load()
    assert "\n" not in str(error.value)


def test_it_stands_beside_the_estimator_under_the_name_of_its_folder(
    tiny_encoder: Base, tiny_base: Base, tmp_path: Path
) -> None:
    (folder := tmp_path / "estimator").mkdir()
    estimator(tiny_base, disturb=True).save(folder)
    config = in_use(tmp_path / "home", folder)
    theirs = classifier(tiny_encoder.path, tmp_path / "theirs", NLI)
    import_suite(judged(tmp_path / "j.jsonl", NEW), "boats", config=config, family="correlation")
    (found,) = evaluate_suites(config=config, subjects=Subjects([str(theirs), str(theirs)]))
    assert {each.n for each in found.figures if each.subject == "theirs"} == {12}
    assert ("theirs", "mse") in {(each.against, each.metric) for each in found.differences}
    twin, taken = (shutil.copytree(theirs, tmp_path / name) for name in ("b/theirs", "constant"))
    for names in ([str(theirs), str(twin)], [str(taken)]):
        with pytest.raises(
            InputError, match=f"{Path(names[-1]).name} is the name of another subject; rename this folder"
        ):
            evaluate_suites(config=config, subjects=Subjects(names))
