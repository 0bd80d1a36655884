"""Suites: propositions with labels, and the figures of every subject on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from training.evaluation import metrics
from training.levels import Floats, crps, exact_crps, one_hot
from warehouse.records import Estimate, Evaluation, content_id

_DRAWS = 200
JUDGMENT_CRPS = "crps_judgments"
"""The CRPS against every judgment; "crps" is the one against the mean."""
_POINT: dict[str, metrics.Metric] = {
    "pearson": metrics.pearson,
    "spearman": metrics.spearman,
    "mse": metrics.mse,
    "mae": metrics.mae,
}


@dataclass(frozen=True)
class Labelled:
    """Test propositions: ids, premise ids, consensus means [n], judgments, and how many of these are simulated."""

    ids: tuple[str, ...]
    premises: tuple[str, ...]
    means: Floats
    judgments: tuple[Floats, ...]
    simulated: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Subject:
    """A subject, the `rows` of the test propositions it answered, its answers, and its distributions if it has any."""

    name: str
    rows: npt.NDArray[np.int64]
    answers: Floats
    distribution: Floats | None = None


@dataclass(frozen=True)
class Naming:
    """The model, dataset and suite of an evaluation."""

    model_id: str
    dataset_id: str
    suite: str = "consensus"


def labelled(test: pa.Table) -> Labelled:
    """Return the test propositions of a table with a shard's columns."""
    values = test.column("values").to_pylist()
    return Labelled(
        ids=tuple(test.column("proposition_id").to_pylist()),
        premises=tuple(test.column("premise_id").to_pylist()),
        means=test.column("mean").to_numpy(),
        judgments=tuple(np.array([v for v in each or [] if v is not None], dtype=np.float64) for each in values),
        simulated=test.column("n_simulated").to_numpy().astype(np.int64),
    )


def consensus_suite(
    test: pa.Table,
    scores: Mapping[str, tuple[float, Sequence[float]]],
    estimates: Iterable[Estimate],
    train_mean: float,
    naming: Naming,
    *,
    annotators: Sequence[int] = (1,),
    resamples: int = 1000,
    seed: int = 0,
) -> list[Evaluation]:
    """Return the figures of every subject against the consensus means of the test propositions.

    The subjects are `estimator`, `labeler:<name>`, `panel-mean` (the mean of the labelers that answered), `constant`
    (always the mean of the training consensus), `one-annotator` and `<k>-annotators`. Each is measured on the `n`
    propositions that it answered. Annotators are measured against the mean of the *other* judgments, which is noisier
    than the consensus.

    Args:
        test: The test propositions, with a shard's columns.
        scores: The estimator's score and level distribution by proposition id.
        estimates: The labelers' estimates.
        train_mean: The mean of the consensus of the *training* split.
        naming: What the figures belong to.
        annotators: The numbers k of annotators to average.
        resamples: The bootstrap resamples of the intervals.
        seed: The seed of all draws.
    """
    data = labelled(test)
    width = len(next(iter(scores.values()))[1]) if scores else 10
    subjects = [*_answering(data, scores, list(estimates)), _constant(data, train_mean)]
    records = [
        figure
        for subject in subjects
        for figure in _figures(subject, data, naming, width, resamples=resamples, seed=seed)
    ]
    for k in annotators:
        records += _annotator_figures(k, data, naming, width, resamples=resamples, seed=seed)
    return records


def _answering(
    data: Labelled, scores: Mapping[str, tuple[float, Sequence[float]]], estimates: list[Estimate]
) -> Iterator[Subject]:
    rows = _rows(data, scores)
    distribution = np.array([scores[data.ids[row]][1] for row in rows])
    yield Subject("estimator", rows, np.array([scores[data.ids[row]][0] for row in rows]), distribution)
    panel: dict[str, list[float]] = {}
    by_labeler: dict[str, dict[str, float]] = {}
    for each in estimates:
        if each.probability is not None:
            by_labeler.setdefault(each.labeler, {})[each.proposition_id] = each.probability
    for labeler, answers in sorted(by_labeler.items()):
        yield _points(f"labeler:{labeler}", data, answers)
        for key, value in answers.items():
            panel.setdefault(key, []).append(value)
    if panel:
        yield _points("panel-mean", data, {key: float(np.mean(values)) for key, values in panel.items()})


def _points(name: str, data: Labelled, answers: Mapping[str, float]) -> Subject:
    rows = _rows(data, answers)
    return Subject(name, rows, np.array([answers[data.ids[row]] for row in rows], dtype=np.float64))


def _rows(data: Labelled, answers: Mapping[str, object]) -> npt.NDArray[np.int64]:
    return np.array([row for row, key in enumerate(data.ids) if key in answers], dtype=np.int64)


def _constant(data: Labelled, train_mean: float) -> Subject:
    return Subject("constant", np.arange(len(data.ids)), np.full(len(data.ids), train_mean))


def _figures(
    subject: Subject, data: Labelled, naming: Naming, width: int, *, resamples: int, seed: int
) -> Iterator[Evaluation]:
    """Yield the figures of a subject. Calibration has no interval, since resampling biases a binned gap upwards."""
    labels, groups = data.means[subject.rows], [data.premises[row] for row in subject.rows]
    record = recorder(subject.name, naming, len(subject.rows), int(data.simulated[subject.rows].sum()))
    for name, metric in _POINT.items():

        def statistic(rows: npt.NDArray[np.int64], metric: metrics.Metric = metric) -> float | None:
            return metric(subject.answers[rows], labels[rows])

        yield record(name, metric(subject.answers, labels), metrics.interval(statistic, groups, resamples, seed))
    mean_loss = _mean_of(crps(_distribution(subject, width), labels))
    bounds = metrics.interval(mean_loss, groups, resamples, seed)
    yield record("crps", mean_loss(np.arange(len(labels))), bounds)
    yield _against_judgments(subject, data, naming, resamples=resamples, seed=seed)
    yield record("calibration_error", metrics.calibration_error(subject.answers, labels))
    parts = metrics.decompose(subject.answers, labels)
    for name in metrics.Decomposition._fields:
        yield record(name, None if parts is None else getattr(parts, name))


def _against_judgments(subject: Subject, data: Labelled, naming: Naming, *, resamples: int, seed: int) -> Evaluation:
    """Return the mean CRPS against every judgment; each proposition that people judged counts the same.

    Against the mean a narrow guess wins; against judgments the distribution wins that spreads as people do.
    """
    judged = [place for place, row in enumerate(subject.rows) if len(data.judgments[row])]
    losses = np.array([_judgment_loss(subject, place, data.judgments[subject.rows[place]]) for place in judged])
    rows = subject.rows[judged]
    record = recorder(subject.name, naming, len(rows), int(data.simulated[rows].sum()))
    mean = _mean_of(losses)
    bounds = metrics.interval(mean, [data.premises[row] for row in rows], resamples, seed)
    return record(JUDGMENT_CRPS, mean(np.arange(len(rows))), bounds)


def _judgment_loss(subject: Subject, place: int, judgments: Floats) -> float:
    if subject.distribution is None:
        return float(np.abs(subject.answers[place] - judgments).mean())
    return float(exact_crps(subject.distribution[place], judgments).mean())


def _mean_of(losses: Floats) -> Callable[[npt.NDArray[np.int64]], float | None]:
    return lambda rows: float(losses[rows].mean()) if len(rows) else None


def _distribution(subject: Subject, width: int) -> Floats:
    """Return the level distributions of a subject; a number has all its mass on its level."""
    return one_hot(subject.answers, width) if subject.distribution is None else subject.distribution


def _annotator_figures(
    k: int, data: Labelled, naming: Naming, width: int, *, resamples: int, seed: int
) -> Iterator[Evaluation]:
    """Yield the figures of the mean of k annotators drawn at random, against the mean of the others.

    A value is the mean over many draws of k annotators for every proposition; the resamples of its interval cycle
    through these draws.
    """
    rows = np.array([row for row, each in enumerate(data.judgments) if len(each) > k], dtype=np.int64)
    record = recorder(
        "one-annotator" if k == 1 else f"{k}-annotators", naming, len(rows), int(data.simulated[rows].sum())
    )
    groups = [data.premises[row] for row in rows]
    judgments = [data.judgments[row] for row in rows]
    draws = [_draw(k, judgments, np.random.default_rng([seed, i])) for i in range(_DRAWS)]

    def drawn(metric: metrics.Metric) -> Callable[[npt.NDArray[np.int64]], float | None]:
        turns = cycle(draws)

        def statistic(chosen: npt.NDArray[np.int64]) -> float | None:
            draw = next(turns)
            return metric(draw.answers[chosen], draw.labels[chosen])

        return statistic

    def crps_of(answers: Floats, labels: Floats) -> float | None:
        return float(np.mean(crps(one_hot(answers, width), labels))) if len(answers) else None

    for name, metric in {**_POINT, "crps": crps_of, "calibration_error": metrics.calibration_error}.items():
        found = [value for each in draws if (value := metric(each.answers, each.labels)) is not None]
        bounds = None if name == "calibration_error" else metrics.interval(drawn(metric), groups, resamples, seed)
        yield record(name, float(np.mean(found)) if found else None, bounds)
    turns = cycle(draws)
    yield record(
        JUDGMENT_CRPS,
        float(np.mean([each.distances.mean() for each in draws])) if len(rows) else None,
        metrics.interval(lambda chosen: float(next(turns).distances[chosen].mean()), groups, resamples, seed),
    )


class _Draw(NamedTuple):
    """The mean of k judgments [n], the mean of the others [n], and the mean distance of the first to each other [n]."""

    answers: Floats
    labels: Floats
    distances: Floats


def _draw(k: int, judgments: list[Floats], rng: np.random.Generator) -> _Draw:
    """Draw k judgments of each proposition, without replacement."""
    shuffled = [rng.permutation(each) for each in judgments]
    answers = np.array([each[:k].mean() for each in shuffled])
    distances = [np.abs(each[k:] - answer).mean() for each, answer in zip(shuffled, answers, strict=True)]
    return _Draw(answers, np.array([each[k:].mean() for each in shuffled]), np.array(distances))


def recorder(subject: str, naming: Naming, n: int, n_simulated: int) -> Callable[..., Evaluation]:
    """Return a function that makes the record of a figure from its metric, value and interval."""

    def record(metric: str, value: float | None, bounds: tuple[float, float] | None = None) -> Evaluation:
        low, high = bounds if bounds is not None and value is not None else (None, None)
        return Evaluation(
            evaluation_id=content_id("evaluation", naming.model_id, naming.dataset_id, naming.suite, subject, metric),
            model_id=naming.model_id,
            dataset_id=naming.dataset_id,
            suite=naming.suite,
            subject=subject,
            metric=metric,
            value=value,
            low=low,
            high=high,
            n=n,
            n_simulated=n_simulated,
        )

    return record
