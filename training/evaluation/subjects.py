"""The subjects that are not estimators: labelers, their mean, and a constant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from training.evaluation.families import Answer, Answers
from warehouse.records import ESTIMATOR, Estimate

PANEL = "panel-mean"
CONSTANT = "constant"


def panel(estimates: Iterable[Estimate]) -> Iterator[tuple[str, Answers]]:
    """Yield the answers of each labeler, then the mean of the LLMs that answered if there are several.

    Estimators in the panel are left out of the mean, which estimators are compared with.
    """
    by_labeler: dict[str, dict[str, float]] = {}
    by_proposition: dict[str, list[float]] = {}
    llms: set[str] = set()
    for each in estimates:
        if each.probability is not None:
            by_labeler.setdefault(each.labeler, {})[each.proposition_id] = each.probability
            if each.method != ESTIMATOR:
                llms.add(each.labeler)
                by_proposition.setdefault(each.proposition_id, []).append(each.probability)
    for name, answers in sorted(by_labeler.items()):
        yield f"labeler:{name}", {key: Answer(value) for key, value in answers.items()}
    if len(llms) > 1:
        yield PANEL, {key: Answer(sum(values) / len(values)) for key, values in by_proposition.items()}


def constant(ids: Iterable[str], value: float) -> Answers:
    """Return the same answer to every proposition."""
    return dict.fromkeys(ids, Answer(value))
