"""A fit with a teacher: its answers have a share in the targets, are asked for once, and are the only word on pairs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import rel_entr

from tests.fixtures.estimator import Base, pair_table, shard_table, with_column
from tests.training.test_encoder import settings
from training.fit.examples import judged
from training.fit.loop import fit, read_splits
from training.fit.objective import Objective, Part
from training.fit.teaching import teach
from training.fit.told import WIDTH, Told, keys_of
from training.fit.watch import FitProgress, Watch
from training.levels import Floats
from training.model.estimator import Estimator
from training.model.seen import read_seen
from training.model.start import start
from training.targets import mixture
from warehouse.errors import InputError

DEV = shard_table(16, start=100)
PAIRS = pair_table(4, 40, weight=0.5)
WEIGHTS = [1.0, 0.5, 2.0, 1.0]


@pytest.fixture(scope="module")
def teacher(tiny_encoder: Base, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An estimator that learned the opposite of what the judgments in `shard_table` say."""
    rows, folder = (turned(shard_table(64)), turned(DEV)), tmp_path_factory.mktemp("teacher") / "m"
    return fit(*rows, settings(tiny_encoder), tiny_encoder.cache, folder).path


def turned(rows: pa.Table) -> pa.Table:
    """Rows whose judgments say the opposite."""
    return with_column(rows, "values", [[1 - value for value in row] for row in rows["values"].to_pylist()])


def answers(folder: Path, rows: pa.Table) -> Floats:
    pairs = zip(rows["premise"].to_pylist(), rows["hypothesis"].to_pylist(), strict=True)
    return Estimator.load(folder, "cpu", "fp32").score(pairs).level_probabilities


def sides(pairs: pa.Table) -> list[pa.Table]:
    names = ["premise", "hypothesis"]
    return [pairs.select([f"{side}_{name}" for name in names]).rename_columns(names) for side in ("higher", "lower")]


def divergences(target: Floats, rows: pa.Table, subject: Estimator) -> Floats:
    """KL(target || answer) of an encoder, by scipy, from what the estimator answers."""
    pairs = zip(rows["premise"].to_pylist(), rows["hypothesis"].to_pylist(), strict=True)
    found: Floats = rel_entr(target, subject.score(pairs).level_probabilities).sum(axis=1)
    return found


def test_the_loss_by_its_definition(tiny_encoder: Base, teacher: Path, tmp_path: Path) -> None:
    rows = with_column(shard_table(4), "weight", WEIGHTS)
    chosen = settings(tiny_encoder, teacher=str(teacher), teacher_weight=0.25, margin_weight=0.0)
    subject = start(chosen, tiny_encoder.cache, rows, tmp_path)
    (train, dev), _ = read_splits(subject, chosen, tmp_path, (rows, PAIRS), (DEV, None))
    places = train.propositions.rows, train.pairs.rows
    taught = replace(train, taught=teach(chosen, (rows, PAIRS), places, tmp_path, Watch()))
    objective = Objective(subject, subject.network.eval(), chosen)

    target = 0.75 * mixture(judged(rows), chosen.spread, 10) + 0.25 * answers(teacher, rows)
    expected = np.array(WEIGHTS) @ divergences(target, rows, subject)
    assert objective.loss(taught, Part(np.arange(4), np.arange(0))).item() == pytest.approx(expected, rel=1e-4)

    both = np.sum([divergences(answers(teacher, side), side, subject) for side in sides(PAIRS)], axis=0)
    expected = 0.25 * 0.5 * both[[1, 3]].sum()
    assert objective.loss(taught, Part(np.arange(0), np.array([1, 3]))).item() == pytest.approx(expected, rel=1e-4)
    assert dev.taught is None


def test_what_the_teacher_cannot_read_is_learned_from_people(tiny_encoder: Base, teacher: Path, tmp_path: Path) -> None:
    rows = shard_table(3)
    long = [*rows["hypothesis"].to_pylist()[:2], "light" + " and light" * 45]
    rows = with_column(rows, "hypothesis", long)
    rows = with_column(rows, "proposition_id", ["a", "b", "c"])
    pairs = pa.concat_tables([PAIRS, with_column(PAIRS, "lower_hypothesis", [long[2]] * 4)])
    chosen = settings(tiny_encoder, teacher=str(teacher), max_length=128, margin_weight=0.0)
    assert np.isnan(answers(teacher, rows)).all(axis=1).tolist() == [False, False, True]
    subject = start(chosen, tiny_encoder.cache, rows, tmp_path)
    (train, _), _ = read_splits(subject, chosen, tmp_path, (rows, pairs), (DEV, None))
    places = train.propositions.rows, train.pairs.rows
    train = replace(train, taught=teach(chosen, (rows, pairs), places, tmp_path, Watch()))
    objective = Objective(subject, subject.network.eval(), chosen)
    own = divergences(mixture(judged(rows), chosen.spread, 10), rows, subject)
    assert objective.loss(train, Part(np.array([2]), np.arange(0))).item() == pytest.approx(own[2], rel=1e-4)
    higher = sides(pairs)[0].slice(5, 1)
    expected = 0.5 * 0.5 * divergences(answers(teacher, higher), higher, subject)[0]
    assert objective.loss(train, Part(np.arange(0), np.array([5]))).item() == pytest.approx(expected, rel=1e-4)


def test_a_teacher_alone_is_followed_where_nobody_judged(tiny_encoder: Base, teacher: Path, tmp_path: Path) -> None:
    """Its answers to the sides of pairs reach the student, though the order of the pairs says the opposite."""
    none = shard_table(1).slice(0, 0)
    chosen = settings(tiny_encoder, teacher=str(teacher), teacher_weight=1.0, margin_weight=0.0)
    pairs = pair_table(32, 0)
    student = fit(none, turned(DEV), chosen, tiny_encoder.cache, tmp_path / "m", pairs=pairs).path
    asked = shard_table(20, start=200)
    taught, given = answers(teacher, asked), answers(student, asked)
    assert np.abs(given - taught).sum(axis=1).mean() < 0.5 * np.abs(given[::-1] - taught).sum(axis=1).mean()
    seen = read_seen(student)
    assert seen is not None
    assert set(shard_table(64)["premise_id"].to_pylist()) <= set(seen.to_pylist())  # what its teacher learned from


def test_a_fit_that_goes_on_does_not_ask_again(
    tiny_encoder: Base, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings(tiny_encoder, epochs=2, teacher=str(teacher))
    rows, told = (shard_table(16), DEV, chosen, tmp_path / "cache"), list[tuple[int, int]]()
    whole = fit(*rows, tmp_path / "whole", pairs=PAIRS, watch=Watch(asked=lambda *each: told.append(each)))
    assert told[-1] == (16 + 2 * 4, 16 + 2 * 4)  # no text is there twice
    assert not (tmp_path / "whole.fit").exists()

    def interrupt(_: FitProgress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(*rows, tmp_path / "broken", pairs=PAIRS, watch=Watch(step=interrupt))

    def load(*_: object, **__: object) -> Estimator:
        raise AssertionError("the teacher was loaded again")

    monkeypatch.setattr("training.fit.teaching.Estimator.load", load)
    resumed = fit(*rows, tmp_path / "broken", pairs=PAIRS)
    assert (resumed.dev_loss, resumed.steps) == (whole.dev_loss, whole.steps)


def test_answers_are_kept_as_they_come(tiny_encoder: Base, teacher: Path, tmp_path: Path) -> None:
    """What a killed process left half-written is no answer, and what it had asked is not asked again."""
    chosen, rows, places = settings(tiny_encoder, teacher=str(teacher)), shard_table(4), (np.arange(4), np.arange(4))
    teach(chosen, (rows, None), (np.arange(4), np.arange(0)), tmp_path, Watch())
    (folder,) = tmp_path.glob("teachers/*")
    for name, torn in (("values", b"\x00" * 50), ("keys", b"\x01" * 7)):
        with (folder / name).open("ab") as file:
            file.write(torn)
    left: list[tuple[int, int]] = []
    more = pa.concat_tables([rows, shard_table(4, start=4), rows])
    again = np.arange(12), np.arange(4)
    taught = teach(chosen, (more, PAIRS), again, tmp_path, Watch(asked=lambda *each: left.append(each)))
    texts = {(each["premise"], each["hypothesis"]) for side in sides(PAIRS) for each in side.to_pylist()}
    assert left[-1] == (4 + len(texts), 4 + len(texts))
    np.testing.assert_allclose(taught.of_propositions(np.arange(12)), answers(teacher, more), atol=1e-5)
    both = np.concatenate([answers(teacher, side) for side in sides(PAIRS)])
    np.testing.assert_allclose(taught.of_pairs(np.arange(4)), both, atol=1e-5)
    assert taught.rows[1].tolist() == places[1].tolist()


def test_two_processes_do_not_ask_a_teacher_at_once(tmp_path: Path) -> None:
    """The second one waits until the first has asked, and then knows its answers."""
    keys, values = keys_of(sides(PAIRS)[0].to_batches()), np.random.default_rng(0).dirichlet(np.ones(5), 4)
    first, waits, found = Told(tmp_path, 5), Event(), list[Floats]()

    def second() -> None:
        told = Told(tmp_path, 5, waits.set)
        found.append(told.closed().of(told.places(keys)).astype(np.float64))

    thread = Thread(target=second)
    thread.start()
    assert waits.wait(10)
    assert first.missing(keys).tolist() == sorted(keys.tolist())
    first.add(keys, values)
    first.closed()
    thread.join(10)
    np.testing.assert_allclose(found[0], values, atol=1e-6)


def test_every_key_finds_its_own_answer(tmp_path: Path) -> None:
    """Also those that end with a zero byte, which numpy takes for padding."""
    rows = pa.RecordBatch.from_pydict({"premise": ["a"] * 2000, "hypothesis": [f"b {i}" for i in range(2000)]})
    keys = keys_of([rows])
    values: Floats = np.arange(2000, dtype=np.float64)[:, None]
    assert any(len(each) < WIDTH for each in keys.tolist())
    Told(tmp_path, 1).add(keys[:1500], values[:1500])
    told = Told(tmp_path, 1)
    assert sorted(told.missing(keys).tolist()) == sorted(keys[1500:].tolist())
    told.add(keys[1500:], values[1500:])
    order = np.random.default_rng(0).permutation(2000)
    np.testing.assert_array_equal(told.closed().of(told.places(keys[order])), values[order])


def test_another_teacher_has_answers_of_its_own(
    tiny_encoder: Base, teacher: Path, other_levels: Path, tmp_path: Path
) -> None:
    chosen, rows = settings(tiny_encoder, teacher=str(teacher)), shard_table(4)
    other = chosen.model_copy(update={"teacher": str(other_levels), "levels": 5})
    same = chosen.model_copy(update={"seed": 7, "epochs": 9})
    asked: list[int] = []
    watch = Watch(asked=lambda done, _: asked.append(done))
    taught = [teach(how, (rows, None), (np.arange(4), np.arange(0)), tmp_path, watch) for how in (chosen, other, same)]
    assert asked == [4, 4]
    for place, folder in ((0, teacher), (1, other_levels), (2, teacher)):
        np.testing.assert_allclose(taught[place].of_propositions(np.arange(4)), answers(folder, rows), atol=1e-5)


@pytest.fixture
def other_levels(tiny_encoder: Base, tmp_path: Path) -> Path:
    chosen = settings(tiny_encoder, levels=5, epochs=1)
    return fit(shard_table(8), DEV, chosen, tiny_encoder.cache, tmp_path / "five").path


def test_a_teacher_with_other_levels_is_refused(tiny_encoder: Base, other_levels: Path, tmp_path: Path) -> None:
    chosen = settings(tiny_encoder, teacher=str(other_levels))
    with pytest.raises(InputError, match=r"training\.teacher has 5 levels, and training\.levels is 10"):
        fit(shard_table(8), DEV, chosen, tiny_encoder.cache, tmp_path / "m")
    assert not (tmp_path / "m.fit").exists()


def test_a_teacher_and_cut_points_exclude_each_other(tiny_encoder: Base) -> None:
    with pytest.raises(ValueError, match="a teacher gives no labels"):
        settings(tiny_encoder, teacher="pretrained", ordinal="cut-points")
