"""The subjects that are not estimators: labelers, their mean, and a constant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Literal, get_args

from training.evaluation.families import Answer, Answers
from warehouse.records import ESTIMATOR, Estimate

PANEL = "panel-mean"
CONSTANT = "constant"
LABELER = "labeler:"
"""What the name of a labeler as a subject starts with, whatever its owner called it."""
_ANNOTATORS = re.compile(r"one-annotator|(\d+)-annotators")  # as `training.evaluation.annotators.name_of` names them
SubjectKind = Literal["estimator", "labeler", "panel", "constant", "annotators"]


def kind_of(subject: str) -> SubjectKind:
    """Return what a subject is. The name that a labeler got from its owner decides nothing.

    The base of an estimator and a file of scores, which only suites have, count as estimators.
    """
    if subject.startswith(LABELER):
        return "labeler"
    if subject == PANEL:
        return "panel"
    if subject == CONSTANT:
        return "constant"
    return "annotators" if _ANNOTATORS.fullmatch(subject) else "estimator"


def order_of(subject: str) -> tuple[bool, int, int, str]:
    """Return what sorts subjects as tables list them: the estimator first, then by kind, annotators by their number."""
    found = _ANNOTATORS.fullmatch(subject)
    annotators = int(found[1] or 1) if found else 0
    return subject != "estimator", get_args(SubjectKind).index(kind_of(subject)), annotators, subject


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
        yield f"{LABELER}{name}", {key: Answer(value) for key, value in answers.items()}
    if len(llms) > 1:
        yield PANEL, {key: Answer(sum(values) / len(values)) for key, values in by_proposition.items()}


def constant(ids: Iterable[str], value: float) -> Answers:
    """Return the same answer to every proposition."""
    return dict.fromkeys(ids, Answer(value))
