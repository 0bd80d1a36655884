"""The finding of a report says whether the estimator beats a constant answer, and only what the figures show."""

from __future__ import annotations

import pytest

from training.evaluation.finding import finding
from warehouse.records import Evaluation


def figure(
    subject: str, metric: str, value: float | None, low: float | None = None, high: float | None = None
) -> Evaluation:
    return Evaluation(
        evaluation_id=f"{subject} {metric}", model_id="m", dataset_id="d", suite="consensus", subject=subject,
        metric=metric, value=value, low=low, high=high, n=1200,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("low", "value", "high", "verdict"),
    [
        (0.04, 0.05, 0.06, "beats a constant answer"),
        (0.06, 0.07, 0.09, "is not clearly better than a constant answer"),
        (0.07, 0.09, 0.11, "does not beat a constant answer"),
        (0.09, 0.10, 0.11, "is worse than a constant answer"),
    ],
)
def test_the_verdict_follows_the_interval(low: float, value: float, high: float, verdict: str) -> None:
    said = finding([figure("estimator", "mse", value, low, high), figure("constant", "mse", 0.08)])
    assert said == (
        f"On 1,200 propositions with unseen premises the estimator {verdict}: its mean squared error is {value:.3f} "
        f"(95% interval {low:.3f} to {high:.3f}), that of the constant 0.080."
    )


def test_it_names_the_correlation_and_that_of_an_annotator() -> None:
    figures = [figure("estimator", "mse", 0.05), figure("constant", "mse", 0.08), figure("estimator", "pearson", -0.12)]
    assert finding(figures).endswith("Its scores correlate with the consensus at r = \N{MINUS SIGN}0.12.")
    human = figure("one-annotator", "pearson", 0.7)
    assert finding([*figures, human]).endswith("; those of one annotator with the others' mean at 0.70.")


def test_without_figures_nothing_is_found() -> None:
    assert finding([]) == ""
    assert finding([figure("estimator", "mse", None), figure("constant", "mse", 0.1)]) == ""
