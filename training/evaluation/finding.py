"""What an evaluation found, in two sentences: whether the estimator beats a constant, and how near it is to people."""

from __future__ import annotations

from collections.abc import Sequence

from warehouse.records import Evaluation


def finding(evaluations: Sequence[Evaluation]) -> str:
    """Return what the figures of a test split say about the estimator. Empty if it was not measured."""
    found = {(each.subject, each.metric): each for each in evaluations}
    ours, constant = found.get(("estimator", "mse")), found.get(("constant", "mse"))
    if ours is None or ours.value is None or constant is None or constant.value is None:
        return ""
    between = "" if ours.low is None else f" (95% interval {ours.low:.3f} to {ours.high:.3f})"
    first = (
        f"On {ours.n:,} propositions with unseen premises the estimator {_verdict(ours, constant.value)} a constant "
        f"answer: its mean squared error is {ours.value:.3f}{between}, that of the constant {constant.value:.3f}."
    )
    return " ".join(each for each in (first, _correlations(found)) if each)


def _verdict(ours: Evaluation, constant: float) -> str:
    assert ours.value is not None
    if ours.high is not None and ours.high < constant:
        return "beats"
    if ours.low is not None and ours.low > constant:
        return "is worse than"
    return "is not clearly better than" if ours.value < constant else "does not beat"


def _correlations(found: dict[tuple[str, str], Evaluation]) -> str:
    ours, human = found.get(("estimator", "pearson")), found.get(("one-annotator", "pearson"))
    if ours is None or ours.value is None:
        return ""
    said = f"Its scores correlate with the consensus at r = {ours.value:.2f}"
    if human is not None and human.value is not None:
        said += f"; those of one annotator with the others' mean at {human.value:.2f}"
        said += "" if human.n == ours.n else f" (on the {human.n:,} propositions that several annotators judged)"
    return said.replace("-", "\N{MINUS SIGN}") + "."
