"""Whether probabilities of related propositions fit together, against hand calculations."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.training.evaluation.test_families import row, scores
from training.evaluation.coherence import COHERENCE
from training.evaluation.families import Answer, Items
from training.evaluation.table import measure
from warehouse.records import SuiteItem


def check(item: str, *roles: str) -> list[SuiteItem]:
    return [row(item, None, place=place).model_copy(update={"role": role}) for place, role in enumerate(roles)]


ROWS = [
    *check("n1", "hypothesis", "negation"),
    *check("n2", "hypothesis", "negation"),
    *check("c1", "hypothesis", "hypothesis", "conjunction"),
    *check("c2", "hypothesis", "hypothesis", "conjunction"),
    *check("p1", "hypothesis", "paraphrase", "paraphrase"),
    *check("s1", "hypothesis", "strengthened"),
    *check("s2", "hypothesis", "strengthened"),
    *check("w1", "hypothesis", "weakened"),
    *check("w2", "hypothesis", "weakened"),
]
ANSWERS = scores(
    n1_0=0.7, n1_1=0.4, n2_0=0.2, n2_1=0.5,
    c1_0=0.6, c1_1=0.3, c1_2=0.5, c2_0=0.6, c2_1=0.3, c2_2=0.2,
    p1_0=0.5, p1_1=0.7, p1_2=0.6,
    s1_0=0.5, s1_1=0.6, s2_0=0.5, s2_1=0.5, w1_0=0.5, w1_1=0.4, w2_0=0.5, w2_1=0.8,
)  # fmt: skip


def test_each_figure_is_the_mean_over_its_own_items() -> None:
    found = measure(Items.of("coherence", ROWS), {"one": ANSWERS}, annotators=(), resamples=200).figures
    told = {metric: found["one", metric] for metric in COHERENCE}
    assert {metric: each.n for metric, each in told.items()} == {
        "negation_gap": 2, "conjunction_excess": 2, "paraphrase_sd": 1, "signed_update_rate": 4,
    }  # fmt: skip
    assert {metric: each.value for metric, each in told.items()} == pytest.approx(
        {
            "negation_gap": (0.1 + 0.3) / 2,
            "conjunction_excess": (0.2 + 0) / 2,
            "paraphrase_sd": 0.1,
            "signed_update_rate": (1 + 0 + 1 - 1) / 4,
        }
    )
    update = found["one", "signed_update_rate"]
    assert update.low is not None
    assert update.high is not None
    assert -1 <= update.low < 0.25 < update.high <= 1


def test_a_probability_measure_is_coherent() -> None:
    """Probabilities of events over a finite set of equally likely worlds break no rule."""
    rng = np.random.default_rng(2)
    worlds = rng.random((40, 2, 12)) < 0.5
    rows: list[SuiteItem] = []
    answers: dict[str, Answer] = {}
    for n, (first, second) in enumerate(worlds):
        rows += [*check(f"n{n}", "hypothesis", "negation"), *check(f"c{n}", "hypothesis", "hypothesis", "conjunction")]
        events = {f"n{n}_0": first, f"n{n}_1": ~first, f"c{n}_0": first, f"c{n}_1": second, f"c{n}_2": first & second}
        answers |= scores(**{name: float(each.mean()) for name, each in events.items()})
    found = measure(Items.of("coherence", rows), {"one": answers}, annotators=(), resamples=10).figures
    assert found["one", "negation_gap"].value == pytest.approx(0, abs=1e-12)
    assert found["one", "conjunction_excess"].value == 0


def test_subjects_are_compared_in_each_figure_on_what_both_answered() -> None:
    items = [check(f"{kind}{n}", "hypothesis", kind) for n in range(30) for kind in ("negation", "weakened")]
    rows = list(itertools.chain(*items))
    good = scores(**{f"{each.item}_{each.place}": (0.6, 0.4)[each.place] for each in rows})
    bad = scores(**{f"{each.item}_{each.place}": (0.6, 0.7)[each.place] for each in rows})
    del bad["negation0:0"]
    found = measure(Items.of("coherence", rows), {"good": good, "bad": bad}, annotators=(), resamples=300)
    by_metric = {each.metric: each for each in found.differences}
    assert by_metric["negation_gap"].n == 29
    assert by_metric["negation_gap"].value == pytest.approx(-0.3)
    assert by_metric["signed_update_rate"].value == 2
    assert found.figures["bad", "negation_gap"].n == 29
