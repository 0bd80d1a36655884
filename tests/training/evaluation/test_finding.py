"""The finding of a report says whether the estimator beats a constant answer, and only what the figures show."""

from __future__ import annotations

import pytest

from training.evaluation.finding import finding
from warehouse.records import Difference, Evaluation


def figure(
    subject: str, metric: str, value: float | None, low: float | None = None, high: float | None = None
) -> Evaluation:
    return Evaluation(
        evaluation_id=f"{subject} {metric}", model_id="m", dataset_id="d", suite="consensus", subject=subject,
        metric=metric, value=value, low=low, high=high, n=1200,
    )  # fmt: skip


def apart(value: float, low: float, high: float, against: str = "constant", p: float = 0.01) -> Difference:
    return Difference(
        difference_id=against, model_id="m", suite="consensus", subject="estimator", against=against, metric="mse",
        value=value, low=low, high=high, n=1200, p=p, p_holm=p * 3,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("ours", "low", "high", "verdict", "said"),
    [
        (0.05, -0.04, -0.01, "beats", "0.030 (95% interval 0.010 to 0.040)"),
        (0.07, -0.03, 0.01, "is not clearly better than", "0.010 (95% interval \N{MINUS SIGN}0.010 to 0.030)"),
        (0.09, -0.01, 0.03, "does not beat", "\N{MINUS SIGN}0.010 (95% interval \N{MINUS SIGN}0.030 to 0.010)"),
        (
            0.10,
            0.01,
            0.03,
            "is worse than",
            "\N{MINUS SIGN}0.020 (95% interval \N{MINUS SIGN}0.030 to \N{MINUS SIGN}0.010)",
        ),
    ],
)
def test_the_verdict_follows_the_interval_of_the_difference(
    ours: float, low: float, high: float, verdict: str, said: str
) -> None:
    figures = [figure("estimator", "mse", ours), figure("constant", "mse", 0.08)]
    others = [apart(-1, -2, -0.5, against="labeler:x"), apart(ours - 0.08, low, high)]
    assert finding(figures, others) == (
        f"On 1,200 propositions with unseen premises the estimator {verdict} a constant answer: its mean squared error "
        f"is {ours:.3f}, that of the constant 0.080, a difference of {said}."
    )


def test_the_difference_is_that_of_the_propositions_that_its_interval_is_of() -> None:
    figures = [figure("estimator", "mse", 0.05), figure("constant", "mse", 0.08)]
    said = finding(figures, [apart(-0.025, -0.03, -0.02)])
    assert said.endswith("that of the constant 0.080, a difference of 0.025 (95% interval 0.020 to 0.030).")


def test_what_few_premises_show_is_not_called_proven() -> None:
    figures = [figure("estimator", "mse", 0.05), figure("constant", "mse", 0.08)]
    said = "With p = 0.125 that is not proven: more premises would tell."
    assert finding(figures, [apart(-0.03, -0.04, -0.01, p=0.125)]).endswith(f" 0.010 to 0.040). {said}")
    assert said not in finding(figures, [apart(-0.03, -0.04, 0.01, p=0.125)])  # not clearly better, it says already


def test_without_an_interval_nothing_is_clear() -> None:
    figures = [figure("estimator", "mse", 0.05), figure("constant", "mse", 0.08)]
    assert "is not clearly better than" in finding(figures, [])


def test_it_names_the_correlation_and_that_of_an_annotator() -> None:
    figures = [figure("estimator", "mse", 0.05), figure("constant", "mse", 0.08), figure("estimator", "pearson", -0.12)]
    assert finding(figures, []).endswith("Its scores correlate with the consensus at r = \N{MINUS SIGN}0.12.")
    human = figure("one-annotator", "pearson", 0.7)
    assert finding([*figures, human], []).endswith("; those of one annotator with the others' mean at 0.70.")


def test_without_figures_nothing_is_found() -> None:
    assert finding([], []) == ""
    assert finding([figure("estimator", "mse", None), figure("constant", "mse", 0.1)], []) == ""
