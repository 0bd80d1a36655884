"""What an evaluation found, in sentences: whether the estimator beats a constant, and how near it is to people."""

from __future__ import annotations

from collections.abc import Sequence

from training.evaluation.paired import LEVEL
from warehouse.records import Difference, Evaluation

MINUS = "\N{MINUS SIGN}"


def finding(evaluations: Sequence[Evaluation], differences: Sequence[Difference]) -> str:
    """Return what the figures of a test split say about the estimator. Empty if it was not measured.

    Args:
        evaluations: The figures of all subjects.
        differences: How much the estimator's figures exceed those of others; that of the constant's squared error
            decides whether the estimator beats it.
    """
    found = {(each.subject, each.metric): each for each in evaluations}
    ours, constant = found.get(("estimator", "mse")), found.get(("constant", "mse"))
    if ours is None or ours.value is None or constant is None or constant.value is None:
        return ""
    apart = next((each for each in differences if (each.against, each.metric) == ("constant", "mse")), None)
    gain = constant.value - ours.value if apart is None else -apart.value  # on what both answered
    verdict = ("is not clearly better than" if gain > 0 else "does not beat") if apart is None else _verdict(apart)
    between = "" if apart is None else f" (95% interval {-apart.high:.3f} to {-apart.low:.3f})"
    first = (
        f"On {ours.n:,} propositions with unseen premises the estimator {verdict} a constant answer: its mean squared "
        f"error is {ours.value:.3f}, that of the constant {constant.value:.3f}, a difference of {gain:.3f}{between}."
    )
    said = (first, _caution(apart), _correlations(found))
    return " ".join(each.replace("-", MINUS) for each in said if each)


def _verdict(apart: Difference) -> str:
    if apart.high < 0:
        return "beats"
    if apart.low > 0:
        return "is worse than"
    return "is not clearly better than" if apart.value < 0 else "does not beat"


def _caution(apart: Difference | None) -> str:
    """Say that a difference is not proven though its interval leaves 0 out, as with few premises."""
    if apart is None or apart.low <= 0 <= apart.high or apart.p < LEVEL:
        return ""
    return f"With p = {apart.p:.3f} that is not proven: more premises would tell."


def _correlations(found: dict[tuple[str, str], Evaluation]) -> str:
    ours, human = found.get(("estimator", "pearson")), found.get(("one-annotator", "pearson"))
    if ours is None or ours.value is None:
        return ""
    said = f"Its scores correlate with the consensus at r = {ours.value:.2f}"
    if human is not None and human.value is not None:
        said += f"; those of one annotator with the others' mean at {human.value:.2f}"
        said += "" if human.n == ours.n else f" (on the {human.n:,} propositions that several annotators judged)"
    return f"{said}."
