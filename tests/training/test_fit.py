from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import training.fit.loop
import training.fit.rounds
from tests.fixtures.estimator import Base, merge_estimator, pair_table, shard_table, with_column
from tests.training.test_estimator import logits_of
from training.fit.examples import judged
from training.fit.loop import fit
from training.fit.step import Stepper
from training.fit.watch import FitProgress, Watch
from training.levels import expectation, level_token
from training.model.estimator import Estimator
from training.model.packing import Indices
from training.model.prompt import render
from training.model.texts import texts
from training.settings import FitSettings
from training.targets import mixture
from warehouse.errors import InputError, OddsError

TEXTS = ["proposition_id", "premise", "hypothesis"]


def settings(tiny: Base, **changes: object) -> FitSettings:
    common = {
        "base": str(tiny.path),
        "device": "cpu",
        "precision": "fp32",
        "batch_size": 8,
        "epochs": 6,
        "lora_rank": 4,
    }
    return FitSettings.model_validate(common | {"learning_rate": 5e-3, "level_learning_rate": 1e-2} | changes)


def weights_in(folder: Path) -> dict[str, Any]:
    """All weights that an estimator was saved with."""
    return {name: each for path in folder.glob("*.safetensors") for name, each in load_file(path).items()}


def scores_by_id(folder: Path, table: pa.Table) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    found = {
        key: value
        for batch in Estimator.load(folder, "cpu", "fp32").score_stream(texts(table))
        for key, value in zip(batch.proposition_ids, batch.scores, strict=True)
    }
    return np.array([found[key] for key in table["proposition_id"].to_pylist()])


@pytest.mark.slow
@pytest.mark.parametrize("tuning", ["lora", "upper", "full"])
def test_it_learns_what_the_judgments_say(tiny_base: Base, tmp_path: Path, tuning: str) -> None:
    test = shard_table(20, start=200)
    epochs = {"lora": 8, "upper": 12, "full": 16}[tuning]
    fitted = fit(
        shard_table(40),
        shard_table(8, start=100),
        settings(tiny_base, tuning=tuning, upper_layers=1, epochs=epochs),
        tiny_base.cache,
        tmp_path / "model",
    )
    scores, means = scores_by_id(fitted.path, test), test["mean"].to_numpy()
    assert np.mean((scores - means) ** 2) < 0.3 * means.var()
    assert fitted.steps == epochs * 5


def test_the_kept_epoch_is_the_best_on_dev_and_not_the_last(tiny_base: Base, tmp_path: Path) -> None:
    dev = shard_table(16, start=100)
    flipped = [[1 - value for value in each] for each in dev["values"].to_pylist()]
    opposed = dev.set_column(dev.column_names.index("values"), "values", pa.array(flipped))
    seen: list[FitProgress] = []
    fitted = fit(
        shard_table(32),
        opposed,
        settings(tiny_base),
        tiny_base.cache,
        tmp_path / "model",
        watch=Watch(step=seen.append),
    )
    losses = [each.dev_loss for each in seen if each.dev_loss is not None]
    assert len(losses) == 6
    assert fitted.dev_loss == min(losses) < losses[-1]
    assert _dev_loss_of(fitted.path, opposed, settings(tiny_base)) == pytest.approx(min(losses), abs=1e-5)


def _dev_loss_of(folder: Path, dev: pa.Table, chosen: FitSettings) -> float:
    """The mean KL from the published distributions, by its definition: level mass times what other tokens leave."""
    subject = Estimator.load(folder, "cpu", "fp32")
    logits = logits_of(subject, dev)
    p = torch.softmax(logits.double(), dim=1)[:, subject.level_ids].numpy()
    q = mixture(judged(dev), chosen.spread, chosen.levels)
    return float(np.mean(np.sum(np.where(q > 0, q * np.log(np.where(q > 0, q, 1) / p), 0), axis=1)))


def test_the_same_seed_gives_the_same_weights_on_a_cpu(tiny_base: Base, tmp_path: Path) -> None:
    outcomes = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        torch.manual_seed(hash(name) % 1000)  # the caller's random state plays no part
        chosen = settings(tiny_base, seed=seed, epochs=2, lora_dropout=0.1)
        fitted = fit(shard_table(16), shard_table(8, start=50), chosen, tiny_base.cache, tmp_path / name)
        outcomes.append((fitted.dev_loss, weights_in(tmp_path / name)))
    (loss, weights), (same_loss, same), (other_loss, _) = outcomes
    assert loss == same_loss != other_loss
    assert weights.keys() == same.keys()
    assert "rows" in weights
    assert all(np.array_equal(weights[key], same[key]) for key in weights)


def test_the_callers_random_state_is_left_alone(tiny_base: Base, tmp_path: Path) -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    fit(shard_table(8), shard_table(4, start=50), settings(tiny_base, epochs=1), tiny_base.cache, tmp_path / "model")
    torch.testing.assert_close(torch.rand(3), expected)


@pytest.mark.parametrize(
    "changes",
    [
        *({"loss": loss} for loss in ("reverse", "crps", "wasserstein")),
        *({"target": target} for target in ("gaussian", "beta", "mixture+dirichlet")),
        {"batch_margin_weight": 1.0},
        {"mean_weight": 2.0},
        {"levels": 20, "temperature": 2.0},
        {"gradient_checkpointing": True},
    ],
)
def test_every_variant_lowers_its_dev_loss(tiny_base: Base, tmp_path: Path, changes: dict[str, object]) -> None:
    fitted = fit(
        shard_table(24),
        shard_table(8, start=50),
        settings(tiny_base, epochs=4, **changes),
        tiny_base.cache,
        tmp_path / "model",
    )
    dev = [each.dev_loss for each in fitted.history if each.dev_loss is not None]
    assert dev[-1] < dev[0]


def test_the_summary_says_what_was_done(tiny_base: Base, tmp_path: Path) -> None:
    train = shard_table(12)
    hypotheses = train["hypothesis"].to_pylist()
    premises = train["premise"].to_pylist()
    hypotheses[3], premises[5] = "word " * 200, "word " * 200
    train = train.set_column(3, "hypothesis", pa.array(hypotheses)).set_column(2, "premise", pa.array(premises))
    chosen = settings(tiny_base, epochs=1, max_length=160)
    fitted = fit(train, shard_table(4, start=50, simulated=False), chosen, tiny_base.cache, tmp_path / "model")
    summary = json.loads((tmp_path / "model" / "training.json").read_text())
    assert fitted.truncated == summary["truncated"] == 1
    assert [drop.subject_id for drop in fitted.drops] == [train["proposition_id"][3].as_py()]
    assert [drop["subject_id"] for drop in summary["drops"]] == [fitted.drops[0].subject_id]
    assert FitSettings.model_validate(summary["settings"]) == chosen.model_copy(update={"base": tiny_base.path.name})
    assert str(tmp_path.parent) not in json.dumps(summary["settings"])  # no path of this machine
    assert (summary["n_train"], summary["n_dev"], summary["n_simulated"]) == (12, 4, 36)


def test_time_can_be_bounded(tiny_base: Base, tmp_path: Path) -> None:
    chosen = settings(tiny_base, epochs=1000, max_minutes=0.03)
    fitted = fit(shard_table(16), shard_table(4, start=50), chosen, tiny_base.cache, tmp_path / "model")
    assert 0 < fitted.steps < 2000
    assert fitted.history[-1].dev_loss is not None


def test_steps_can_be_bounded(tiny_base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    real = Stepper.step

    def noting(stepper: Stepper, indices: Indices, rate: float, step: int) -> torch.Tensor:
        rates.append(rate)
        return real(stepper, indices, rate, step)

    monkeypatch.setattr(Stepper, "step", noting)
    chosen = settings(tiny_base, epochs=1000, batch_size=8, max_steps=11)  # two epochs of 4 steps, and 3 more
    fitted = fit(shard_table(32), shard_table(4, start=50), chosen, tiny_base.cache, tmp_path / "model")
    assert fitted.steps == len(rates) == 11
    assert [each.step for each in fitted.history if each.dev_loss is not None] == [4, 8, 11]
    assert fitted.history[-1].steps == 11
    assert rates[-1] < 0.15 < max(rates)


def test_a_fit_ends_within_its_minutes_with_the_learning_rate_at_its_end(
    tiny_base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    seen: list[FitProgress] = []
    notes: list[str] = []
    now = [0.0]
    real = Stepper.step

    def slow(stepper: Stepper, indices: Indices, rate: float, step: int) -> torch.Tensor:
        rates.append(rate)
        now[0] += 0.1
        return real(stepper, indices, rate, step)

    monkeypatch.setattr(Stepper, "step", slow)
    for module in (training.fit.loop, training.fit.rounds):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    chosen = settings(tiny_base, epochs=1000, max_minutes=0.1)
    watch = Watch(step=seen.append, note=notes.append)
    fitted = fit(shard_table(64), shard_table(4, start=50), chosen, tiny_base.cache, tmp_path / "model", watch=watch)
    assert fitted.duration_s <= 6
    assert 50 < fitted.steps <= 60
    assert rates[-1] < 0.2 < max(rates)
    assert [each.step for each in seen] == list(range(1, fitted.steps + 1))
    assert all(0 <= each.left_s <= 6 for each in seen)
    assert seen[-1].examples_per_s == pytest.approx(80)  # 8 in 0.1 s
    assert seen[-1].dev_loss is not None
    assert "leaves room for about" in notes[0]
    assert "of 8,000 steps" in notes[0]


def test_a_row_that_gives_no_number_is_named(tiny_base: Base, tmp_path: Path) -> None:
    train = shard_table(16)
    broken = with_column(train, "weight", [float("nan") if i == 11 else 1.0 for i in range(16)])
    with pytest.raises(OddsError, match=f"proposition {train['proposition_id'][11].as_py()}: its loss is not a number"):
        fit(broken, shard_table(4, start=50), settings(tiny_base), tiny_base.cache, tmp_path / "model")
    assert _nothing_left(tmp_path)


def test_what_goes_on_is_said(tiny_base: Base, tmp_path: Path) -> None:
    said: list[str] = []
    dev: list[tuple[int, int]] = []
    watch = Watch(doing=said.append, dev=lambda done, total: dev.append((done, total)))
    fit(
        shard_table(8),
        shard_table(20, start=50),
        settings(tiny_base, epochs=1),
        tiny_base.cache,
        tmp_path / "m",
        watch=watch,
    )
    assert said == [
        "loading the base model", "tokenising the propositions for training and dev", "making the first step",
    ]  # fmt: skip
    done = [each for each, _ in dev]
    assert done == sorted(done)
    assert (len(done) > 1, dev[-1]) == (True, (20, 20))


def _nothing_left(folder: Path) -> bool:
    return list(folder.iterdir()) == []


def test_an_interruption_before_the_first_checkpoint_leaves_nothing(tiny_base: Base, tmp_path: Path) -> None:
    def interrupt(progress: FitProgress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(
            shard_table(16),
            shard_table(4, start=50),
            settings(tiny_base),
            tiny_base.cache,
            tmp_path / "model",
            watch=Watch(step=interrupt),
        )
    assert _nothing_left(tmp_path)


@pytest.mark.parametrize(
    ("sizes", "changes", "message"),
    [
        ((0, 4), {}, "the train split has no propositions or order pairs"),
        ((4, 0), {}, "the dev split has no propositions or order pairs"),
        ((4, 4), {"max_length": 20}, "no train proposition fits into 20 tokens"),
        ((4, 4), {"base": "/no/such/folder"}, "no language model could be loaded"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    tiny_base: Base, tmp_path: Path, sizes: tuple[int, int], changes: dict[str, object], message: str
) -> None:
    train, dev = (shard_table(4).slice(0, size) for size in sizes)
    with pytest.raises(InputError, match=message) as caught:
        fit(train, dev, settings(tiny_base, **changes), tiny_base.cache, tmp_path / "model")
    assert "\n" not in str(caught.value)
    assert _nothing_left(tmp_path)


def test_order_pairs_that_an_epoch_never_reaches_are_one_line(tiny_base: Base, tmp_path: Path) -> None:
    empty, chosen = shard_table(1).slice(0, 0), settings(tiny_base, pair_rate=0.01)
    with pytest.raises(InputError, match=r"pair_rate = 0\.01 takes none of its 40 order pairs; set pair_rate = 1"):
        fit(
            empty, empty, chosen, tiny_base.cache, tmp_path / "model",
            pairs=pair_table(40, 60), dev_pairs=pair_table(4, 160),
        )  # fmt: skip
    assert _nothing_left(tmp_path)


def test_an_existing_folder_is_not_overwritten(tiny_base: Base, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="already exists"):
        fit(shard_table(4), shard_table(4), settings(tiny_base), tiny_base.cache, tmp_path)


def test_a_diverged_training_says_so(tiny_base: Base, tmp_path: Path) -> None:
    chosen = settings(tiny_base, tuning="full", learning_rate=1e30, warmup=0)
    with pytest.raises(OddsError, match="lower learning_rate"):
        fit(shard_table(32), shard_table(4, start=50), chosen, tiny_base.cache, tmp_path / "model")
    assert _nothing_left(tmp_path)


def test_the_loss_is_weighted_divergence_plus_weighted_margin_by_hand(tiny_base: Base, tmp_path: Path) -> None:
    weights = [1.0, 0.5, 0.25, 2.0]
    train, pairs = with_column(shard_table(4), "weight", weights), pair_table(3, 20, weight=0.5)
    still = settings(
        tiny_base, epochs=1, learning_rate=1e-30, level_learning_rate=1e-30, lora_dropout=0, margin_weight=3
    )
    fitted = fit(train, shard_table(4, start=50), still, tiny_base.cache, tmp_path / "model", pairs=pairs)
    rows = [_dev_loss_of(fitted.path, train.slice(i, 1), still) for i in range(4)]
    higher, lower = (
        scores_by_id(fitted.path, pairs.select([f"{side}_{n}" for n in TEXTS]).rename_columns(TEXTS))
        for side in ("higher", "lower")
    )
    short = np.maximum(0, still.margin - (higher - lower))
    assert short.max() > 0
    expected = (np.sum(np.array(weights) * rows) + 3.0 * np.sum(0.5 * short)) / 7
    assert fitted.history[-1].loss == pytest.approx(expected, abs=1e-4)
    assert json.loads((fitted.path / "training.json").read_text())["n_pairs"] == 3


@pytest.mark.slow
def test_order_pairs_alone_teach_the_order(tiny_base: Base, tmp_path: Path) -> None:
    silent = with_column(shard_table(16), "values", [[0.2, 0.5, 0.8]] * 16)
    test, chosen = shard_table(20, start=200), settings(tiny_base, margin=0.5, epochs=8, pair_rate=2)
    is_on = test["mean"].to_numpy() > 0.5
    gaps = {}
    for name, pairs in (("with", pair_table(32, 60, weight=5.0)), ("without", None)):
        fitted = fit(silent, shard_table(8, start=150), chosen, tiny_base.cache, tmp_path / name, pairs=pairs)
        scores = scores_by_id(fitted.path, test)
        gaps[name] = scores[is_on].mean() - scores[~is_on].mean()
    assert abs(gaps["without"]) < 0.05
    assert gaps["with"] > 0.15


@pytest.mark.slow
def test_a_row_of_small_weight_does_not_outvote_the_others(tiny_base: Base, tmp_path: Path) -> None:
    right, wrong = shard_table(24), shard_table(48)
    flipped = [[1 - value for value in each] for each in wrong["values"].to_pylist()]
    wrong = with_column(with_column(wrong, "values", flipped), "weight", [0.02] * 48)
    test, chosen = shard_table(20, start=200), settings(tiny_base, epochs=10)
    fitted = fit(
        pa.concat_tables([right, wrong]), shard_table(8, start=150), chosen, tiny_base.cache, tmp_path / "model"
    )
    assert np.corrcoef(scores_by_id(fitted.path, test), test["mean"].to_numpy())[0, 1] > 0.8


def test_the_epoch_is_chosen_by_what_people_judged(tiny_base: Base, tmp_path: Path) -> None:
    human, synthetic = shard_table(8, start=100), with_column(shard_table(40, start=300), "origin", ["synthetic"] * 40)
    chosen = settings(tiny_base, epochs=2)
    losses = [
        fit(shard_table(16), dev, chosen, tiny_base.cache, tmp_path / name).dev_loss
        for name, dev in (("human", human), ("mixed", pa.concat_tables([synthetic, human])), ("synthetic", synthetic))
    ]
    assert losses[0] == losses[1] != losses[2]


def test_order_pairs_need_no_propositions(tiny_base: Base, tmp_path: Path) -> None:
    chosen = settings(tiny_base, margin=0.5, epochs=4)
    empty, steps = shard_table(1).slice(0, 0), list[FitProgress]()
    fitted = fit(
        empty, empty, chosen, tiny_base.cache, tmp_path / "model",
        pairs=pair_table(32, 60), dev_pairs=pair_table(8, 160), watch=Watch(step=steps.append),
    )  # fmt: skip
    assert fitted.steps == 16
    assert fitted.constant_loss == pytest.approx(0.5)  # margin_weight times the margin
    dev = [each.dev_loss for each in steps if each.dev_loss is not None]
    assert fitted.dev_loss == min(dev) < 0.5 * dev[0]
    test = shard_table(20, start=200)
    scores, is_on = scores_by_id(fitted.path, test), test["mean"].to_numpy() > 0.5
    assert scores[is_on].min() > scores[~is_on].max()


def test_dev_pairs_select_the_epoch_only_where_dev_has_no_propositions(tiny_base: Base, tmp_path: Path) -> None:
    chosen, dev = settings(tiny_base, epochs=1), shard_table(4, start=50)
    losses = [
        fit(
            shard_table(8), rows, chosen, tiny_base.cache, tmp_path / str(number),
            pairs=pair_table(4, 60), dev_pairs=dev_pairs,
        ).dev_loss
        for number, (rows, dev_pairs) in enumerate(
            ((dev, None), (dev, pair_table(4, 160)), (dev.slice(0, 0), pair_table(4, 160)))
        )
    ]  # fmt: skip
    assert losses[0] == losses[1] != losses[2]


def test_pairs_that_an_epoch_never_reaches_are_not_read(tiny_base: Base, tmp_path: Path) -> None:
    chosen = settings(tiny_base, epochs=1, pair_rate=0)
    dev = shard_table(4, start=50)
    fitted = fit(shard_table(8), dev, chosen, tiny_base.cache, tmp_path / "m", pairs=pair_table(4, 60))
    assert fitted.steps == 1
    assert json.loads((fitted.path / "training.json").read_text())["n_pairs"] == 0


def test_patience_ends_a_fit_that_gets_no_better(tiny_base: Base, tmp_path: Path) -> None:
    still = settings(tiny_base, epochs=6, patience=2, learning_rate=1e-30, level_learning_rate=1e-30)
    fitted = fit(shard_table(8), shard_table(4, start=50), still, tiny_base.cache, tmp_path / "m")
    assert fitted.steps == 3  # the first epoch is the best, and two are no better


def test_a_fit_that_learned_less_than_a_constant_answer_says_so(tiny_base: Base, tmp_path: Path) -> None:
    notes: dict[str, list[str]] = {"still": [], "learned": []}
    still = {"learning_rate": 1e-30, "level_learning_rate": 1e-30, "epochs": 1}
    for name, changes in (("still", still), ("learned", {"epochs": 6})):
        chosen = settings(tiny_base, **changes)
        watch = Watch(note=notes[name].append)
        fitted = fit(shard_table(24), shard_table(8, start=50), chosen, tiny_base.cache, tmp_path / name, watch=watch)
        record = json.loads((fitted.path / "training.json").read_text())
        assert record["constant_loss"] == fitted.constant_loss
        assert fitted.constant_loss is not None
        assert (fitted.dev_loss < fitted.constant_loss) is (name == "learned")
    said, *others = notes["still"]
    assert notes["learned"] == others  # that dev has too few rows for intervals
    assert "never fell below that of a constant answer" in said
    assert "with only 8 dev propositions that tells little" in said


def test_many_dev_propositions_tell_that_nothing_was_learned(tiny_base: Base, tmp_path: Path) -> None:
    notes: list[str] = []
    still = settings(tiny_base, learning_rate=1e-30, level_learning_rate=1e-30, epochs=1)
    dev = shard_table(30, start=50)
    fit(shard_table(24), dev, still, tiny_base.cache, tmp_path / "still", watch=Watch(note=notes.append))
    assert any("the estimator learned nothing that helps" in note for note in notes)


def test_a_fit_is_calibrated_on_the_scores_of_the_kept_epoch(tiny_base: Base, tmp_path: Path) -> None:
    dev, notes = shard_table(40, start=50), list[str]()
    rng = np.random.default_rng(0)
    judgments = np.clip(np.column_stack([dev["mean"].to_numpy()] * 3) + rng.normal(0, 0.1, (40, 3)), 0, 1)
    dev = with_column(with_column(dev, "values", judgments.tolist()), "mean", judgments.mean(axis=1).tolist())
    chosen = settings(tiny_base, epochs=3, recalibrate="isotonic", coverage=0.8)
    watch = Watch(note=notes.append)
    fitted = fit(shard_table(24), dev, chosen, tiny_base.cache, tmp_path / "model", watch=watch)
    merge_estimator(fitted.path, tmp_path / "merged")
    pairs = list(zip(*(dev[name].to_pylist() for name in TEXTS[1:]), strict=True))
    for folder in (fitted.path, tmp_path / "merged"):
        subject = Estimator.load(folder, "cpu", "fp32")
        found, calibration = subject.score(pairs), subject.calibration
        raw = expectation(found.level_probabilities)
        assert calibration is not None
        assert calibration.map is not None
        assert found.raw_scores == pytest.approx(raw)
        assert found.scores == pytest.approx(calibration.map.mapped(raw))
        assert calibration.mse == pytest.approx(np.mean((raw - judgments.mean(axis=1)) ** 2), rel=1e-3)
        assert found.low is not None
        assert found.high is not None
        inside = (found.low[:, None] <= judgments) & (judgments <= found.high[:, None])
        assert 0.75 < inside.mean() < 0.95
        assert np.all((found.low <= found.scores) & (found.scores <= found.high))
    assert any(note.startswith("the isotonic map changes the mean squared error on dev from") for note in notes)


def test_a_pair_of_which_one_side_does_not_fit_is_dropped(tiny_base: Base, tmp_path: Path) -> None:
    pairs = pair_table(3, 20)
    pairs = with_column(pairs, "lower_hypothesis", ["word " * 300, *pairs["lower_hypothesis"].to_pylist()[1:]])
    chosen = settings(tiny_base, epochs=1)
    fitted = fit(shard_table(8), shard_table(4, start=50), chosen, tiny_base.cache, tmp_path / "model", pairs=pairs)
    assert [drop.subject_id for drop in fitted.drops] == [pairs["lower_proposition_id"][0].as_py()]
    assert json.loads((fitted.path / "training.json").read_text())["n_pairs"] == 2


@pytest.mark.long
def test_the_embedded_base_learns_saves_merges_and_answers(gguf_base: Base, tmp_path: Path) -> None:
    chosen = FitSettings(base=str(gguf_base.path), device="cpu", precision="fp32", epochs=4, batch_size=4)
    fitted = fit(shard_table(24), shard_table(4, start=100), chosen, gguf_base.cache, tmp_path / "model")
    dev = [each.dev_loss for each in fitted.history if each.dev_loss is not None]
    assert dev[-1] < 0.5 * dev[0]
    assert len(list(gguf_base.cache.iterdir())) == 1
    test = shard_table(6, start=200)
    scores = scores_by_id(tmp_path / "model", test)
    merge_estimator(tmp_path / "model", tmp_path / "merged")
    np.testing.assert_allclose(scores_by_id(tmp_path / "merged", test), scores, atol=1e-4)
    model: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "merged")
    prompt = render(tokenizer, test["premise"][0].as_py(), test["hypothesis"][0].as_py())
    inputs = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
    reply = tokenizer.decode(model.generate(**inputs, max_new_tokens=1, do_sample=False)[0, -1:])
    assert reply in {level_token(level) for level in range(10)}


def test_gradient_checkpointing_changes_nothing_and_bf16_little(tiny_base: Base, tmp_path: Path) -> None:
    losses = {}
    for name, changes in (
        ("plain", {}),
        ("checkpointed", {"gradient_checkpointing": True}),
        ("bf16", {"precision": "bf16"}),
    ):
        chosen = settings(tiny_base, epochs=1, lora_dropout=0, **changes)
        fitted = fit(shard_table(16), shard_table(8, start=50), chosen, tiny_base.cache, tmp_path / name)
        losses[name] = fitted.dev_loss
    assert losses["checkpointed"] == pytest.approx(losses["plain"], abs=1e-6)
    assert losses["bf16"] == pytest.approx(losses["plain"], rel=0.02)
    assert losses["bf16"] != losses["plain"]
