"""The figures of an evaluation as rows of the tables evaluations and differences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from training.evaluation.paired import Figure
from training.evaluation.table import Measured
from warehouse.records import Difference, Evaluation, content_id


@dataclass(frozen=True)
class Naming:
    """The estimator, training set and suite of an evaluation."""

    model_id: str
    dataset_id: str
    suite: str


def evaluations(measured: Measured, naming: Naming) -> Iterator[Evaluation]:
    """Yield the figures as records."""
    for (subject, metric), each in measured.figures.items():
        yield _evaluation(naming, subject, metric, None, each)
    for (part, subject, metric), each in measured.sliced.items():
        yield _evaluation(naming, subject, metric, part, each)


def differences(measured: Measured, naming: Naming) -> Iterator[Difference]:
    """Yield the differences as records."""
    for each in measured.differences:
        key = content_id("difference", naming.model_id, naming.suite, each.subject, each.against, each.metric)
        yield Difference(difference_id=key, model_id=naming.model_id, suite=naming.suite, **each._asdict())


def _evaluation(naming: Naming, subject: str, metric: str, part: str | None, figure: Figure) -> Evaluation:
    names = (naming.model_id, naming.dataset_id, naming.suite, subject, metric, *(() if part is None else (part,)))
    return Evaluation(
        evaluation_id=content_id("evaluation", *names),
        model_id=naming.model_id,
        dataset_id=naming.dataset_id,
        suite=naming.suite,
        subject=subject,
        metric=metric,
        slice=part,
        **figure._asdict(),
    )
