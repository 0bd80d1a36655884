"""An ablation's figures against hand calculations, and against the table of an evaluation where that has the same."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training.evaluation.test_families import row
from training.evaluation.ablation import EVERYTHING, MEAN_RANK, Measured, ablated
from training.evaluation.families import Answer, Items
from training.evaluation.table import measure

RNG = np.random.default_rng(11)
N = 40
LABELS = RNG.random(N)
JUDGED = Items.of(
    "correlation",
    [row(f"{i:02d}", float(label), judgments=(float(label), 0.5)) for i, label in enumerate(LABELS)],
)
ASKED = Items.of("choice", [row(f"q{i:02d}", 1.0 - place, place=place) for i in range(N) for place in (0, 1)])


def answers(noise: float, seed: int) -> dict[str, Answer]:
    """Answers to both sets that are further from the labels with more noise."""
    rng = np.random.default_rng([seed, round(100 * noise)])
    near = np.clip(LABELS + noise * rng.normal(size=N), 0, 1)
    found = {f"{i:02d}:0": Answer(float(value)) for i, value in enumerate(near)}
    higher, lower = np.clip(0.6 + noise * rng.normal(size=N), 0, 1), np.clip(0.4 + noise * rng.normal(size=N), 0, 1)
    return found | {
        f"q{i:02d}:{place}": Answer(float(side[i])) for i in range(N) for place, side in ((0, higher), (1, lower))
    }


def found_of(measured: list[Measured]) -> dict[tuple[str, str, str], Measured]:
    return {(each.variant, each.suite, each.metric): each for each in measured}


def test_with_one_seed_it_is_the_table_of_an_evaluation() -> None:
    one, other = answers(0.1, 0), answers(0.3, 0)
    found = found_of(ablated({"set": JUDGED}, {"a": [one], "b": [other]}, {"set": ["pearson"]}, resamples=300, seed=4))
    table = measure(JUDGED, {"b": other, "a": one}, annotators=(), resamples=300, seed=4)
    apart = {each.metric: each for each in table.differences}
    for metric in ("pearson", "spearman", "mse", "mae", "crps_judgments", "wasserstein"):
        ours = found["b", "set", metric]
        assert ours.figure == pytest.approx(table.figures["b", metric])
        assert ours.difference is not None
        theirs = apart[metric]
        assert ours.difference[3:7] == pytest.approx(theirs[3:7])
        assert ours.difference.p == pytest.approx(theirs.p)
        assert found["a", "set", metric].difference is None
        assert ours.seed_sd is None


def test_a_figure_is_the_mean_over_seeds_and_its_sd_is_told() -> None:
    by_seed = [answers(0.2, seed) for seed in range(3)]
    found = found_of(ablated({"set": JUDGED}, {"a": by_seed, "b": by_seed[::-1]}, {"set": ["pearson"]}, resamples=100))[
        "a", "set", "mse"
    ]
    alone = [np.mean([(each[f"{i:02d}:0"].score - LABELS[i]) ** 2 for i in range(N)]) for each in by_seed]
    assert found.figure.value == pytest.approx(np.mean(alone))
    assert found.seed_sd == pytest.approx(np.std(alone, ddof=1))


def test_an_interval_covers_what_other_seeds_would_change() -> None:
    good, bad = answers(0.05, 0), answers(0.4, 0)
    steady, shaky = [good, good], [good, bad]
    found = found_of(ablated({"set": JUDGED}, {"a": steady, "b": shaky}, {"set": ["mse"]}, resamples=500))
    of_one = measure(JUDGED, {"one": good}, annotators=(), resamples=500).figures["one", "mse"]
    assert found["a", "set", "mse"].figure[1:3] == pytest.approx(of_one[1:3])
    low, high = found["b", "set", "mse"].figure[1:3]
    # Each seed is drawn twice in a quarter of the resamples, so the interval reaches both of their values.
    assert low is not None
    assert high is not None
    assert low < (of_one.value or 0) * 1.5
    assert high > measure(JUDGED, {"one": bad}, annotators=(), resamples=2).figures["one", "mse"].value  # type: ignore[operator]


def test_the_mean_rank_and_the_mean_figures_are_those_by_hand() -> None:
    given = {name: [answers(noise, 0)] for name, noise in (("a", 0.3), ("b", 0.05), ("c", 0.6))}
    main = {"judged": ["accuracy", "mse", "mae"], "asked": ["accuracy"]}
    found = found_of(ablated({"judged": JUDGED, "asked": ASKED}, given, main, resamples=200))
    values = {
        name: [found[name, s, m].figure.value for s, m in (("judged", "mse"), ("asked", "accuracy"))] for name in given
    }
    ranks = {
        name: (
            1 + sum(other[0] < own[0] for other in values.values())  # type: ignore[operator]
            + 1 + sum(other[1] > own[1] for other in values.values())  # type: ignore[operator]
        ) / 2
        for name, own in values.items()
    }  # fmt: skip
    assert {name: found[name, EVERYTHING, MEAN_RANK].figure.value for name in given} == ranks
    assert ranks["b"] == 1.0
    best = found["b", EVERYTHING, MEAN_RANK].difference
    assert best is not None
    assert (best.against, best.value) == ("a", 1.0 - ranks["a"])
    assert best.high < 0
    # crps_judgments is only in one of the sets, so its mean is that set's.
    assert found["c", EVERYTHING, "crps_judgments"].figure == pytest.approx(
        found["c", "judged", "crps_judgments"].figure
    )


def test_sets_that_share_premises_tell_no_more_than_one_of_them() -> None:
    by_variant = {"a": [answers(0.1, 0)], "b": [answers(0.3, 0)]}
    found = found_of(
        ablated({"one": JUDGED, "same": JUDGED}, by_variant, {"one": ["mse"], "same": ["mse"]}, resamples=200)
    )
    alone, both = (found["b", name, "mse"] for name in ("one", EVERYTHING))
    assert alone.difference is not None
    assert both.difference is not None
    assert both.figure[:3] == pytest.approx(alone.figure[:3])
    assert both.difference[3:6] == pytest.approx(alone.difference[3:6])


def test_p_values_are_corrected_for_the_number_of_variants() -> None:
    given = {"a": [answers(0.3, 0)], "b": [answers(0.29, 1)], "c": [answers(0.32, 2)]}
    found = found_of(ablated({"set": JUDGED}, given, {"set": ["mse"]}, resamples=400))
    two = sorted(
        (each.difference for key, each in found.items() if key[2] == "mse" and key[1] == "set" and each.difference),
        key=lambda each: each.p,
    )
    assert two[0].p_holm == pytest.approx(min(2 * two[0].p, 1))
    assert two[1].p_holm == pytest.approx(max(two[1].p, two[0].p_holm))


def test_only_items_that_all_answered_are_measured() -> None:
    some = {key: each for key, each in answers(0.2, 0).items() if key != "07:0"}
    found = found_of(ablated({"set": JUDGED}, {"a": [answers(0.1, 0)], "b": [some]}, {"set": ["mse"]}, resamples=50))
    assert found["a", "set", "mse"].figure.n == found["b", "set", "mse"].figure.n == N - 1


def test_who_always_says_the_same_has_the_worst_rank() -> None:
    same = dict.fromkeys(answers(0.1, 0), Answer(0.5))
    given = {"a": [same, same], "b": [answers(0.5, 0), answers(0.5, 1)]}
    found = found_of(ablated({"set": JUDGED}, given, {"set": ["pearson"]}, resamples=50))
    assert (found["a", "set", "pearson"].figure.value, found["a", "set", "pearson"].seed_sd) == (None, None)
    assert found["a", EVERYTHING, MEAN_RANK].figure.value == 2.0
