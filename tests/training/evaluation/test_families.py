"""What is measured of answers to the items of a suite, against hand calculations and other libraries."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from training.evaluation.families import Answer, Items
from training.evaluation.table import measure
from training.levels import exact_crps
from warehouse.records import Family, SuiteItem
from warehouse.scales import slider_to_probability

RNG = np.random.default_rng(7)


def row(
    item: str, label: float | None, *, place: int = 0, group: str = "", judgments: tuple[float, ...] = ()
) -> SuiteItem:
    return SuiteItem(
        suite_item_id=f"{item}:{place}", suite_id="s", item=item, place=place, proposition_id=f"{item}:{place}",
        premise_id="p", premise="p", hypothesis="h", premise_group=item, label=label, judgments=list(judgments),
    )  # fmt: skip


def value(items: Items, answers: dict[str, Answer], metric: str) -> float | None:
    return measure(items, {"one": answers}, annotators=(), resamples=50).figures["one", metric].value


def scores(**given: float) -> dict[str, Answer]:
    return {name.replace("_", ":"): Answer(score) for name, score in given.items()}


def test_an_update_is_right_if_the_probability_moves_as_it_must() -> None:
    rows = [
        each
        for item, label in (("a", 1.0), ("b", 0.0), ("c", 0.0), ("d", 1.0))
        for each in (row(item, None), row(item, label, place=1))
    ]
    answers = scores(a_0=0.2, a_1=0.3, b_0=0.5, b_1=0.4, c_0=0.5, c_1=0.9, d_0=0.5, d_1=0.5)
    assert value(Items.of("update", rows), answers, "accuracy") == (1 + 1 + 0 + 0.5) / 4


def test_a_choice_is_right_if_the_right_alternative_is_the_most_probable() -> None:
    def question(item: str) -> list[SuiteItem]:
        return [row(item, 1.0), row(item, 0.0, place=1), row(item, 0.0, place=2)]

    rows = [*question("a"), *question("b"), *question("c")]
    answers = scores(a_0=0.9, a_1=0.1, a_2=0.2, b_0=0.5, b_1=0.5, b_2=0.1, c_0=0.1, c_1=0.3, c_2=0.2)
    assert value(Items.of("choice", rows), answers, "accuracy") == pytest.approx((1 + 0.5 + 0) / 3)


def judged(n: int, k: int = 6) -> tuple[Items, dict[str, Answer], list[list[float]]]:
    judgments = [np.clip(RNG.normal(RNG.random(), 0.2, k), 0, 1).tolist() for _ in range(n)]
    rows = [row(f"{i:03d}", float(np.mean(each)), judgments=tuple(each)) for i, each in enumerate(judgments)]
    answers = {}
    for each in rows:
        levels = RNG.dirichlet(np.ones(10))
        answers[each.proposition_id] = Answer(float(levels @ (np.arange(10) + 0.5) / 10), levels.tolist())
    return Items.of("correlation", rows), answers, judgments


def test_the_figures_of_a_correlation_suite() -> None:
    items, answers, judgments = judged(30)
    found = measure(items, {"one": answers}, annotators=(1,), resamples=60).figures
    ours = np.array([each.score for each in answers.values()])
    labels = np.array([np.mean(each) for each in judgments])
    assert found["one", "pearson"].value == pytest.approx(stats.pearsonr(ours, labels).statistic)
    assert found["one", "spearman"].value == pytest.approx(stats.spearmanr(ours, labels).statistic)
    assert found["one", "mse"].value == pytest.approx(np.mean((ours - labels) ** 2))
    assert found["one", "mae"].value == pytest.approx(np.mean(np.abs(ours - labels)))
    each = [exact_crps(np.array(a.distribution), j).mean() for a, j in zip(answers.values(), judgments, strict=True)]
    assert found["one", "crps_judgments"].value == pytest.approx(np.mean(each))
    centres = (np.arange(10) + 0.5) / 10
    apart = [
        stats.wasserstein_distance(centres, centres, answer.distribution, np.histogram(j, 10, (0, 1))[0])
        for answer, j in zip(answers.values(), judgments, strict=True)
    ]
    assert found["one", "wasserstein"].value == pytest.approx(np.mean(apart))
    entropies = [stats.entropy(answer.distribution) for answer in answers.values()]
    theirs = [stats.entropy(np.histogram(j, 10, (0, 1))[0]) for j in judgments]
    assert found["one", "spread_correlation"].value == pytest.approx(stats.pearsonr(entropies, theirs).statistic)
    assert found["one", "calibration_error"].low is None
    assert found["one", "pearson"].n == 30


def test_a_number_is_a_point_and_has_no_spread() -> None:
    items, answers, judgments = judged(12)
    points = {key: Answer(each.score) for key, each in answers.items()}
    found = measure(items, {"points": points}, annotators=(), resamples=50).figures
    distances = [np.abs(np.array(j) - a.score).mean() for a, j in zip(points.values(), judgments, strict=True)]
    assert found["points", "crps_judgments"].value == pytest.approx(np.mean(distances))
    assert ("points", "spread_correlation") not in found


def test_an_annotator_is_measured_against_the_others() -> None:
    """Where everybody agrees but one in six, a single annotator correlates less than a mean of three."""
    truth = RNG.random(80)
    rows = [
        row(f"{i:03d}", float(t), judgments=tuple(np.clip(RNG.normal(t, 0.25, 6), 0, 1).tolist()))
        for i, t in enumerate(truth)
    ]
    found = measure(Items.of("correlation", rows), {}, annotators=(1, 3), resamples=60).figures
    one, three = (found[name, "pearson"].value for name in ("one-annotator", "3-annotators"))
    assert one is not None
    assert three is not None
    assert 0.5 < one < three < 1


def test_subjects_are_compared_on_what_both_answered_and_every_p_value_is_corrected() -> None:
    items, answers, _ = judged(60)
    labels = {each.propositions[0]: each.labels[0] or 0.0 for each in items.items}
    good = {key: Answer(label * 0.9) for key, label in labels.items()}
    half = dict(list(answers.items())[:30])
    found = measure(items, {"good": good, "half": half, "same": good}, annotators=(), resamples=400)
    assert found.figures["half", "pearson"].n == 30
    by_name = {(each.against, each.metric): each for each in found.differences}
    assert by_name["half", "pearson"].n == 30
    assert by_name["half", "pearson"].value > 0
    assert by_name["half", "pearson"].p_holm < 0.1
    assert by_name["same", "pearson"].p_holm == 1
    assert all(each.p_holm >= each.p for each in found.differences)


def test_labels_from_the_slider_of_unli_are_also_compared_on_it() -> None:
    """The published positions of METHOD section 2 give the positions back; ranks are the same on both scales."""
    positions = np.array([0.0, 1000, 2500, 4000, 5000, 6000, 7500, 9000, 10000])
    ours = RNG.uniform(0, 10000, 9)
    labels, scores = (slider_to_probability(each).tolist() for each in (positions, ours))
    items = Items.of("correlation", [row(f"{i}", label) for i, label in enumerate(labels)], slider=True)
    answers = {f"{i}:0": Answer(each) for i, each in enumerate(scores)}
    found = measure(items, {"one": answers}, annotators=(), resamples=50).figures
    assert found["one", "pearson_slider"].value == pytest.approx(stats.pearsonr(ours, positions).statistic)
    assert found["one", "pearson"].value == pytest.approx(stats.pearsonr(scores, labels).statistic)
    assert found["one", "spearman_slider"].value == pytest.approx(stats.spearmanr(ours, positions).statistic)
    plain = measure(Items.of("correlation", [row("0", 0.5)]), {"one": answers}, annotators=(), resamples=50)
    assert ("one", "pearson_slider") not in plain.figures


@pytest.mark.parametrize("family", ["correlation", "update", "choice"])
def test_a_subject_without_answers_has_no_figures(family: Family) -> None:
    items = Items.of(family, [row("a", 1.0), row("a", 0.0, place=1)])
    found = measure(items, {"one": {}, "other": {}}, resamples=50)
    assert all(each.value is None and each.n == 0 for each in found.figures.values())
    assert found.differences == []
