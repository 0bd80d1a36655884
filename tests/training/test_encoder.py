"""The encoder baseline: fitted, saved and scored like an estimator."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from tests.fixtures.estimator import Base, build_tiny_encoder, merge_estimator, shard_table, with_column
from tests.fixtures.shards import made_pair, pairs_of
from training.embedded import encoder_path
from training.fit.loop import fit
from training.fit.watch import FitProgress, Watch
from training.identity import base_name
from training.model.device import Place
from training.model.encoder import PairEncoder, load_encoder
from training.model.estimator import Estimator
from training.model.saved import EstimatorInfo
from training.model.seen import read_seen
from training.model.start import start
from training.settings import FitSettings
from warehouse.errors import InputError
from warehouse.records import PropositionText

DEV = shard_table(16, start=100)


def settings(place: Base, **changes: object) -> FitSettings:
    common = {"base": str(place.path), "kind": "encoder", "device": "cpu", "precision": "fp32", "max_length": 64}
    rates = {"batch_size": 8, "epochs": 6, "learning_rate": 2e-3, "level_learning_rate": 1e-2}
    return FitSettings.model_validate(common | rates | changes)


@pytest.fixture(scope="module")
def fitted(tiny_encoder: Base, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fitted") / "model"
    result = fit(shard_table(64), DEV, settings(tiny_encoder), tiny_encoder.cache, folder)
    assert result.constant_loss is not None
    assert result.dev_loss < result.constant_loss
    return folder


def seen_by(folder: Path) -> list[str]:
    found = read_seen(folder)
    assert found is not None
    return sorted(found.to_pylist())


def pairs(n: int, start: int = 200) -> list[tuple[str, str]]:
    rows = shard_table(n, start=start)
    return list(zip(rows["premise"].to_pylist(), rows["hypothesis"].to_pylist(), strict=True))


def proposition(premise: str, hypothesis: str = "There is light.") -> PropositionText:
    return PropositionText(proposition_id="p", premise=premise, hypothesis=hypothesis)


@pytest.mark.slow
def test_it_learns_what_the_judgments_say(fitted: Path) -> None:
    test = shard_table(20, start=200)
    found, means = Estimator.load(fitted, "cpu", "fp32").score(pairs(20)), test["mean"].to_numpy()
    assert np.mean((found.scores - means) ** 2) < 0.1 * means.var()
    assert found.level_probabilities.shape == (20, 10)
    np.testing.assert_allclose(found.level_probabilities.sum(axis=1), 1)


def test_a_moved_or_merged_folder_gives_the_same_scores(fitted: Path, tiny_encoder: Base, tmp_path: Path) -> None:
    subject = Estimator.load(fitted, "cpu", "fp32")
    again = tmp_path / "deeper" / "again"
    again.mkdir(parents=True)
    subject.save(again)
    merge_estimator(fitted, tmp_path / "merged")
    learned = {premise for rows in (shard_table(64), DEV) for premise in rows["premise_id"].to_pylist()}
    assert seen_by(tmp_path / "merged") == seen_by(fitted) == sorted(learned)
    expected = subject.score(pairs(9)).level_probabilities
    for folder in (again, tmp_path / "merged"):
        found = Estimator.load(folder, "cpu", "fp32").score(pairs(9)).level_probabilities
        np.testing.assert_array_equal(found, expected)
    assert subject.info.weights == "encoder"
    assert not torch.equal(
        AutoModel.from_pretrained(tmp_path / "merged").embeddings.word_embeddings.weight,
        AutoModel.from_pretrained(tiny_encoder.path).embeddings.word_embeddings.weight,
    )


def test_a_score_does_not_depend_on_the_batch(fitted: Path) -> None:
    subject = Estimator.load(fitted, "cpu", "fp32")
    mixed = [*pairs(5), ("Lamp 3 is on" + " and bright" * 12 + ".", "There is light.")]
    together = subject.score(mixed).level_probabilities
    alone = np.concatenate([subject.score([pair]).level_probabilities for pair in mixed])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_the_logits_are_those_of_the_published_definition(fitted: Path) -> None:
    """The head on the mean of the states that transformers computes from the tokenizer's own pairs."""
    subject = Estimator.load(fitted, "cpu", "fp32")
    tokenizer, model = AutoTokenizer.from_pretrained(fitted), AutoModel.from_pretrained(fitted).eval()
    premise, hypothesis = pairs(1)[0]
    with torch.inference_mode():
        inputs = tokenizer(premise, hypothesis, return_tensors="pt", return_token_type_ids=True)
        assert set(inputs["token_type_ids"][0].tolist()) == {0, 1}
        logits = model(**inputs).last_hidden_state.mean(dim=1) @ subject.network.head.rows.T
    found = subject.score([(premise, hypothesis)]).level_probabilities
    np.testing.assert_allclose(found, torch.softmax(logits, dim=1).numpy(), atol=1e-5)


def test_the_start_of_a_long_premise_is_cut_and_nothing_else(tiny_encoder: Base) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder.path)
    long = " ".join(["river"] * 40) + " lamp on"
    hypothesis = "There is light."
    whole, cut = (PairEncoder.encode(tokenizer, [proposition(long)], most) for most in (500, 30))
    assert (whole.truncated.tolist(), cut.truncated.tolist()) == ([False], [True])
    (full,), (short,) = whole.prompts(), cut.prompts()
    kept = 30 - 1
    assert short.tolist() == [full[0], *full[-kept:]]
    ids = len(tokenizer(hypothesis, add_special_tokens=False)["input_ids"])
    for most, rows in ((ids + 3, [0]), (ids + 2, [])):
        assert PairEncoder.encode(tokenizer, [proposition(long, hypothesis)], most).rows.tolist() == rows
    assert PairEncoder.encode(tokenizer, [], 30).prompts() == []


def test_special_tokens_in_a_text_are_text(tiny_encoder: Base) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder.path)
    encoded = PairEncoder.encode(tokenizer, [proposition("A lamp. [SEP] [CLS] [PAD]")], 200)
    plain = PairEncoder.encode(tokenizer, [proposition("A lamp.")], 200)
    special = set(tokenizer.all_special_ids)
    found, without = ([int(token) & 0xFFFFFF for token in each.prompts()[0]] for each in (encoded, plain))
    assert [token for token in found if token in special and token != tokenizer.unk_token_id] == [
        token for token in without if token in special
    ]
    assert len(found) > len(without)


def test_order_pairs_alone_teach_it(tiny_encoder: Base, tmp_path: Path) -> None:
    def ordered(n: int, first: int) -> pa.RecordBatch:
        rows = shard_table(2 * n, start=first).to_pylist()
        return pairs_of(
            made_pair(
                "train", i, weight=1.0, higher_premise=on["premise"], higher_hypothesis=on["hypothesis"],
                lower_premise=off["premise"], lower_hypothesis=off["hypothesis"],
            )
            for i, (off, on) in enumerate(zip(rows[::2], rows[1::2], strict=True))
        )  # fmt: skip

    none = shard_table(1).slice(0, 0)
    fitted = fit(
        none, none, settings(tiny_encoder, margin=0.3), tiny_encoder.cache, tmp_path / "model",
        pairs=pa.Table.from_batches([ordered(32, 0)]), dev_pairs=pa.Table.from_batches([ordered(8, 100)]),
    )  # fmt: skip
    scores = Estimator.load(fitted.path, "cpu", "fp32").score(pairs(10)).scores
    assert scores[1::2].min() > scores[::2].max()


def test_a_fit_that_was_interrupted_ends_with_the_same_weights(tiny_encoder: Base, tmp_path: Path) -> None:
    chosen = settings(tiny_encoder, epochs=3)

    def interrupt(now: FitProgress) -> None:
        if now.step == 5:
            raise KeyboardInterrupt

    rows = shard_table(16), shard_table(8, start=100), chosen, tiny_encoder.cache
    whole = fit(*rows, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit(*rows, tmp_path / "broken", watch=Watch(step=interrupt))
    resumed = fit(*rows, tmp_path / "broken")
    assert (resumed.dev_loss, resumed.steps) == (whole.dev_loss, whole.steps)


def test_it_starts_at_the_uniform_answer_and_all_weights_are_fitted(tiny_encoder: Base, tmp_path: Path) -> None:
    subject = start(settings(tiny_encoder), tiny_encoder.cache, shard_table(4), tmp_path / "model")
    np.testing.assert_allclose(subject.score(pairs(2)).level_probabilities, 0.1, atol=1e-6)
    assert all(parameter.requires_grad for parameter in subject.network.parameters())
    assert subject.info.base == "bert"


def test_a_causal_base_is_refused_in_one_line(tiny_base: Base) -> None:
    with pytest.raises(InputError, match="reads from left to right, as causal language models do; set") as caught:
        load_encoder(tiny_base.path)
    assert "\n" not in str(caught.value)


def test_an_encoder_whose_tokens_hardly_look_at_each_other_is_one_all_the_same(
    tiny_encoder: Base, tmp_path: Path
) -> None:
    """Fits can come close to this."""
    model = AutoModel.from_pretrained(tiny_encoder.path)
    with torch.no_grad():
        for layer in model.encoder.layer:
            layer.attention.output.dense.weight.mul_(1e-5)
    copytree(tiny_encoder.path, tmp_path / "bert")
    model.save_pretrained(tmp_path / "bert")
    load_encoder(tmp_path / "bert")


def test_an_encoder_is_refused_as_a_causal_base(tiny_encoder: Base, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r'an encoder such as BERT needs training\.kind = "encoder"'):
        start(settings(tiny_encoder, kind="causal"), tiny_encoder.cache, shard_table(4), tmp_path / "model")


def test_prompts_longer_than_the_encoder_reads_are_refused(tiny_encoder: Base, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="reads 128 tokens at most, but max_length is 256"):
        start(settings(tiny_encoder, max_length=256), tiny_encoder.cache, shard_table(4), tmp_path / "model")


def test_corrupt_folders_are_refused_in_one_line(fitted: Path, tmp_path: Path) -> None:
    copytree(fitted, tmp_path / "a")
    (tmp_path / "a" / "levels.safetensors").unlink()
    with pytest.raises(InputError, match=r"levels\.safetensors: not the level head of this encoder"):
        Estimator.load(tmp_path / "a")
    with pytest.raises(InputError, match="no encoder could be loaded"):
        load_encoder(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: no encoder could be loaded: it has no config\.json, so it is not in"):
        load_encoder(tmp_path / "empty")
    broken = build_tiny_encoder(tmp_path / "nan")
    model = AutoModel.from_pretrained(broken)
    model.embeddings.word_embeddings.weight.data[:] = float("nan")
    model.save_pretrained(broken)
    with pytest.raises(InputError, match="computes NaN"):
        load_encoder(broken)


def test_an_encoder_has_no_upper_layers() -> None:
    assert FitSettings(base="b", kind="encoder").tuned == "full"
    assert FitSettings(base="b").tuned == "lora"
    with pytest.raises(ValueError, match='remove tuning = "upper", or set it to "full" or "lora"'):
        FitSettings(base="b", kind="encoder", tuning="upper")


def test_an_adapter_of_an_encoder_is_small_and_scores_alike_saved_moved_and_merged(
    tiny_encoder: Base, tmp_path: Path
) -> None:
    chosen = settings(tiny_encoder, tuning="lora", learning_rate=1e-2, lora_rank=4)
    result = fit(shard_table(64), shard_table(16, start=100), chosen, tiny_encoder.cache, tmp_path / "model")
    assert result.constant_loss is not None
    assert result.dev_loss < result.constant_loss
    assert not (tmp_path / "model" / "model.safetensors").exists()
    subject = Estimator.load(tmp_path / "model", "cpu", "fp32")
    assert subject.info.weights == "encoder-adapter"
    merge_estimator(tmp_path / "model", tmp_path / "merged")
    merged = Estimator.load(tmp_path / "merged", "cpu", "fp32")
    assert merged.info.weights == "encoder"
    expected = subject.score(pairs(9)).level_probabilities
    np.testing.assert_array_equal(merged.score(pairs(9)).level_probabilities, expected)
    base = Estimator(PairEncoder(load_encoder(tiny_encoder.path)[0], 10), *subject_parts(subject))
    base.network.head.load_state_dict(subject.network.head.state_dict())
    assert not np.allclose(base.score(pairs(9)).level_probabilities, expected, atol=1e-3)


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_a_fit_can_start_from_another_estimator(fitted: Path, tiny_encoder: Base, tmp_path: Path, tuning: str) -> None:
    """Before the first step it answers as that one does."""
    chosen = settings(tiny_encoder, base=str(fitted), tuning=tuning, epochs=1, learning_rate=1e-3, lora_rank=2)
    begun = start(chosen, tiny_encoder.cache, shard_table(4), tmp_path / "model")
    expected = Estimator.load(fitted, "cpu", "fp32").score(pairs(9)).level_probabilities
    np.testing.assert_allclose(begun.score(pairs(9)).level_probabilities, expected, atol=1e-6)
    train, notes = shard_table(64, start=300), list[str]()
    result = fit(train, DEV, chosen, tiny_encoder.cache, tmp_path / "model", watch=Watch(note=notes.append))
    before = json.loads((fitted / "training.json").read_text())["dev_loss"]  # of the same dev split
    assert result.base_loss == pytest.approx(before, rel=1e-4)
    assert any("never fell below that of its base" in note for note in notes) is (result.dev_loss >= before)
    learned = {premise for rows in (shard_table(64), DEV, train) for premise in rows["premise_id"].to_pylist()}
    assert set(seen_by(tmp_path / "model")) == learned
    later = Estimator.load(tmp_path / "model", "cpu", "fp32").score(pairs(9)).level_probabilities
    assert not np.allclose(later, expected, atol=1e-4)
    with pytest.raises(InputError, match=r"has 10 levels; set training\.levels to 10"):
        start(settings(tiny_encoder, base=str(fitted), levels=7), tiny_encoder.cache, shard_table(4), tmp_path / "x")


def test_a_fit_that_its_base_is_better_than_says_so(fitted: Path, tiny_encoder: Base, tmp_path: Path) -> None:
    wrong = with_column(
        shard_table(16), "values", [[1 - one for one in row] for row in shard_table(16)["values"].to_pylist()]
    )
    chosen, notes = settings(tiny_encoder, base=str(fitted), epochs=2, learning_rate=1e-3), list[str]()
    result = fit(wrong, DEV, chosen, tiny_encoder.cache, tmp_path / "model", watch=Watch(note=notes.append))
    assert result.base_loss is not None
    assert result.dev_loss > result.base_loss
    (said,) = (note for note in notes if "never fell below that of its base" in note)
    assert f"({result.dev_loss:.4f}, base {result.base_loss:.4f})" in said


def test_an_adapter_finds_its_base_where_it_was_put(fitted: Path, tiny_encoder: Base, tmp_path: Path) -> None:
    copytree(fitted, tmp_path / "home" / "first")
    chosen = settings(tiny_encoder, base=str(tmp_path / "home" / "first"), tuning="lora", epochs=1, lora_rank=2)
    fit(shard_table(16), shard_table(8, start=100), chosen, tiny_encoder.cache, tmp_path / "home" / "second")
    expected = Estimator.load(tmp_path / "home" / "second", "cpu", "fp32").score(pairs(5)).scores
    (tmp_path / "home").rename(tmp_path / "moved")
    np.testing.assert_array_equal(
        Estimator.load(tmp_path / "moved" / "second", "cpu", "fp32").score(pairs(5)).scores, expected
    )


def test_an_adapter_on_an_adapter_needs_only_the_encoder(
    tiny_encoder: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it stands alone it answers as the two on top of each other do."""
    train, dev = shard_table(32), shard_table(8, start=100)
    chosen = settings(tiny_encoder, tuning="lora", lora_rank=3, lora_alpha=12, epochs=2)
    fit(train, dev, chosen, tiny_encoder.cache, tmp_path / "first")
    later = chosen.model_copy(update={"base": str(tmp_path / "first"), "lora_rank": 2, "lora_alpha": 4})
    fit(train, dev, later, tiny_encoder.cache, tmp_path / "alone")
    monkeypatch.setattr("training.fit.rounds.stand_alone", lambda *_: None)
    fit(train, dev, later, tiny_encoder.cache, tmp_path / "on-top")
    expected = Estimator.load(tmp_path / "on-top", "cpu", "fp32").score(pairs(9)).level_probabilities
    rmtree(tmp_path / "first")
    alone = Estimator.load(tmp_path / "alone", "cpu", "fp32")
    np.testing.assert_allclose(alone.score(pairs(9)).level_probabilities, expected, atol=1e-6)
    assert alone.info.base == base_name(str(tiny_encoder.path))
    with pytest.raises(InputError, match="first: the base of the estimator on-top is gone"):
        Estimator.load(tmp_path / "on-top", "cpu", "fp32")


def subject_parts(subject: Estimator) -> tuple[Any, EstimatorInfo, Place]:
    return subject.tokenizer, subject.info, subject.place


def test_the_encoder_that_a_package_carries_is_read(tmp_path: Path) -> None:
    try:
        place = encoder_path()
    except InputError as error:
        pytest.skip(str(error))
    model, tokenizer = load_encoder(place)
    encoded = PairEncoder.encode(tokenizer, [proposition("It rains.")], 64)
    inputs = tokenizer("It rains.", "There is light.")
    assert [int(token) & 0xFFFFFF for token in encoded.prompts()[0]] == inputs["input_ids"]
    assert [int(token) >> 24 for token in encoded.prompts()[0]] == inputs["token_type_ids"]
    assert model.config.num_hidden_layers == 6
