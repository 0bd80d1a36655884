"""The subjects that are not estimators: labelers, their mean, and a constant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from training.evaluation.families import Answer, Answers
from warehouse.records import Estimate

PANEL = "panel-mean"
CONSTANT = "constant"


def panel(estimates: Iterable[Estimate]) -> Iterator[tuple[str, Answers]]:
    """Yield the answers of each labeler, then the mean of those that answered if there are several labelers."""
    by_labeler: dict[str, dict[str, float]] = {}
    for each in estimates:
        if each.probability is not None:
            by_labeler.setdefault(each.labeler, {})[each.proposition_id] = each.probability
    by_proposition: dict[str, list[float]] = {}
    for name, answers in sorted(by_labeler.items()):
        yield f"labeler:{name}", {key: Answer(value) for key, value in answers.items()}
        for key, value in answers.items():
            by_proposition.setdefault(key, []).append(value)
    if len(by_labeler) > 1:
        yield PANEL, {key: Answer(sum(values) / len(values)) for key, values in by_proposition.items()}


def constant(ids: Iterable[str], value: float) -> Answers:
    """Return the same answer to every proposition."""
    return dict.fromkeys(ids, Answer(value))
