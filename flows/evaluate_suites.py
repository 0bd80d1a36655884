"""Evaluate on suites: the figures of the estimator and everyone beside it on imported evaluation sets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from rich.table import Table

from flows.estimators.named import any_model, label_of, learned_from, required_model
from flows.estimators.scoring import store_scores
from flows.evaluation.reporting import renew_report
from flows.evaluation.subjects import ANNOTATORS, ESTIMATOR, beside, measured, record_figures, stored_scores, texts_of
from flows.imports import pairs
from flows.settings.sections import SeenItems
from flows.settings.settings import Config, Settings, load_settings
from flows.stages.outcome import Outcome
from flows.stages.services import known_bases, writing
from flows.suites import import_named
from flows.terminal.activity import activity
from flows.terminal.tables import narrow_table
from synthesis.panel.settings import PRODUCTION
from training.evaluation.annotators import name_of
from training.evaluation.families import SHOWN, Answer, Items, figures_shown, p_values
from training.evaluation.subjects import kind_of
from warehouse.catalog.connect import Warehouse
from warehouse.catalog.store import read
from warehouse.errors import InputError
from warehouse.files.scores import FIELDS as SCORE_FIELDS
from warehouse.files.scores import read_scores
from warehouse.queries.suites import seen_in_training, suite_of_name, training_mean, unscored_items
from warehouse.records import Difference, Evaluation, Model, Suite, SuiteItem

if TYPE_CHECKING:
    from training import Estimator

BASE = "base-yes-no"
INTERVAL = "95% interval"


@dataclass(frozen=True)
class SuiteResult:
    """The figures of every subject on a suite.

    Attributes:
        suite: The suite.
        figures: One row per subject, metric and slice; the slice of all items is None.
        differences: The estimator against every other subject.
        n_items: The items that were measured.
        n_seen: The items whose premise, or one much like it, an estimator among the subjects was trained on;
            `left_out` tells whether they were left out; if not, they are marked: the slices seen=yes and seen=no.
    """

    suite: Suite
    figures: list[Evaluation]
    differences: list[Difference]
    n_items: int
    n_seen: int
    left_out: bool


@dataclass(frozen=True)
class Subjects:
    """Who is measured on a suite besides the estimator in use, its panel and the baselines.

    Attributes:
        models: Other estimators: ids or the starts of them, folders, or "pretrained". The folder of a classifier or of
            a language model without levels is measured by its probability, as `training.model.outside` reads it.
        files: Files of scores by the name of their subject.
        base_yes_no: The base of the estimator without its adapter, by the probability of Yes against No. It is asked
            each time.
        columns: Pairs of `FIELD=COLUMN` for the files of scores.
    """

    models: Sequence[str] = ()
    files: Mapping[str, Path] = field(default_factory=dict)
    base_yes_no: bool = False
    columns: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Refuse a name that another subject has.

        Raises:
            InputError: a file of scores is called so.
        """
        for name in filter(_is_taken, self.files):
            raise InputError(f"the scores {name}: that is the name of another subject; choose a different one")


def _is_taken(name: str) -> bool:
    return name in {ESTIMATOR, BASE} or kind_of(name) != "estimator"


def evaluate_suites(
    names: Sequence[str] = (),
    *,
    config: Config = None,
    model: str | None = None,
    subjects: Subjects | None = None,
    seen: SeenItems | None = None,
) -> list[SuiteResult]:
    """Measure an estimator on suites beside other estimators, labelers, files of scores and baselines.

    Items whose premise one of the estimators was trained on, or one much like it, are left out, or marked: then all are
    measured, and each kind by itself too if it has enough items, as the slices seen=yes and seen=no. The report on the
    estimator, if there is one, is written again with the figures.

    Args:
        names: The suites; by default all, after importing those of the settings that are missing.
        config: The settings, or the file to read them from.
        model: The estimator: its id or the start of it, a folder or "pretrained"; by default the one in use.
        subjects: Who else is measured.
        seen: What becomes of items that were seen in training; by default as the settings say.

    Raises:
        InputError: there is no such suite or estimator, or a file cannot be read.
    """
    settings = load_settings(config)
    if not names:
        import_named(settings)
    return _evaluate(settings, names, model, subjects or Subjects(), seen or settings.evaluation.seen)


def _evaluate(
    settings: Settings, names: Sequence[str], model: str | None, subjects: Subjects, seen: SeenItems
) -> list[SuiteResult]:
    with writing(settings) as warehouse:
        chosen = _chosen(settings, warehouse, model)
        outside = _outside(settings, subjects.models)
        others = _others(warehouse, subjects, outside)
        given = _Given(
            model=chosen,
            others=others,
            answers={name: _from_file(path, subjects.columns) for name, path in subjects.files.items()},
            trained=learned_from(warehouse, [chosen, *others]),
            mean=training_mean(warehouse, chosen),
            asked={path.name: load for path, load in outside.items()}
            | ({BASE: _base(settings, warehouse, chosen)} if subjects.base_yes_no else {}),
        )
        suites = _suites(warehouse, names)
        rows = [read(warehouse, SuiteItem, "suite_id = ?", [suite.suite_id]) for suite in suites]
        _check_texts({row.proposition_id for some in rows for row in some}, suites, subjects.files, given.answers)
        results = [
            _evaluated(settings, warehouse, suite, some, given, leave_out=seen == "leave-out")
            for suite, some in zip(suites, rows, strict=True)
        ]
        if results:
            with activity("evaluate") as shown:
                shown.doing("writing the report")
                renew_report(settings, warehouse, chosen)
        return results


def _chosen(settings: Settings, warehouse: Warehouse, model: str | None) -> Model:
    """Return the estimator of a name, or the one in use, "production". Raises `InputError` if there is none."""
    if model not in (None, PRODUCTION):
        return any_model(warehouse, model)
    return required_model(warehouse, settings.publish.name, ", or compare with --model pretrained")


def _check_texts(
    ids: Set[str], suites: Sequence[Suite], files: Mapping[str, Path], answers: Mapping[str, Mapping[str, Answer]]
) -> None:
    """Refuse a file of scores with no text of any suite: it is about others, or writes the texts differently."""
    for name in answers:
        if ids and ids.isdisjoint(answers[name]):
            listed = ", ".join(suite.name for suite in suites)
            raise InputError(
                f"{files[name]}: no row has a premise and hypothesis of {listed}; write them as in the table "
                "suite_items"
            )


def _outside(settings: Settings, names: Iterable[str]) -> dict[Path, Callable[[], Estimator]]:
    """Return what loads the model, once, of those of some folders that have one without levels, by their paths."""
    from training.model.outside import outside_model

    fit, paths = settings.training, dict.fromkeys(Path(name).resolve() for name in names if Path(name).is_dir())
    found = {path: outside_model(path, fit.device, fit.precision) for path in paths}
    return {path: cache(load) for path, load in found.items() if load is not None}


def _others(warehouse: Warehouse, subjects: Subjects, outside: Collection[Path]) -> list[Model]:
    """Return the other estimators. Raises `InputError` if the figures of two subjects would have one name."""
    names = (name for name in subjects.models if Path(name).resolve() not in outside)
    models = {(label_of(each), each.model_id): each for each in (any_model(warehouse, name) for name in names)}
    found: set[str] = set()
    named = [*((label, each.path) for (label, _), each in models.items()), *((each.name, each) for each in outside)]
    for name, place in named:
        if _is_taken(name) or name in found:
            raise InputError(f"{place}: {name} is the name of another subject; rename this folder")
        found.add(name)
    if taken := sorted(found & subjects.files.keys()):
        raise InputError(f"the scores {taken[0]}: that is the name of another subject; choose a different one")
    return list(models.values())


def evaluate_all(settings: Settings) -> Outcome:
    """Measure the estimator in use on all suites, as a stage of a cycle, which has imported them."""
    results = _evaluate(settings, (), None, Subjects(), settings.evaluation.seen)
    told = [
        f"{result.suite.name} {metric} {figure.value:.3f}"
        for result in results
        for metric in SHOWN[result.suite.family][:1]
        for figure in result.figures
        if (figure.subject, figure.metric, figure.slice) == (ESTIMATOR, metric, None) and figure.value is not None
    ]
    counts = {"suites": len(results), "items": sum(result.n_items for result in results)}
    return Outcome(stage="evaluate suites", counts=counts, note=", ".join(told))


@dataclass(frozen=True)
class _Given:
    """What is the same for all suites: the estimators, who else answers, and what was trained on."""

    model: Model
    others: Sequence[Model]
    answers: Mapping[str, Mapping[str, Answer]]
    trained: pa.Array
    mean: float
    asked: Mapping[str, Callable[[], Estimator]]


def _suites(warehouse: Warehouse, names: Sequence[str]) -> list[Suite]:
    if names:
        return [suite_of_name(warehouse, name) for name in dict.fromkeys(names)]
    return sorted(read(warehouse, Suite), key=lambda each: each.name)


def _evaluated(
    settings: Settings, warehouse: Warehouse, suite: Suite, rows: Sequence[SuiteItem], given: _Given, *, leave_out: bool
) -> SuiteResult:
    model = given.model
    seen = seen_in_training(warehouse, suite, given.trained)
    kept = [row for row in rows if row.item not in seen] if leave_out else rows
    items = Items.of(suite.family, kept, slider=suite.format == "unli", seen=None if leave_out else seen)
    ids = [row.proposition_id for row in kept]
    estimators = {ESTIMATOR: model, **{label_of(each): each for each in given.others}}
    found: dict[str, Mapping[str, Answer]] = {  # of what is measured: an item that was left out needs no score
        name: _scores(settings, warehouse, suite, each, ids) for name, each in estimators.items()
    }
    found |= {name: _answers_of(load, name, kept, suite) for name, load in given.asked.items()}
    found |= {**given.answers, **beside(settings, warehouse, ids, given.model, given.mean)}
    with activity("evaluate") as shown:
        shown.doing(f"measuring {len(found)} subjects on the suite {suite.name}")
        figures, apart = measured(settings, warehouse, suite.name, items, found, estimators=estimators)
    measured_subjects = list({each.subject for each in figures} | {*found, *map(name_of, ANNOTATORS)})
    record_figures(warehouse, model, [suite.name], figures, apart, subjects=measured_subjects)
    return SuiteResult(suite, figures, apart, len(items.items), len(seen), left_out=leave_out)


def _scores(
    settings: Settings, warehouse: Warehouse, suite: Suite, model: Model, ids: Sequence[str]
) -> dict[str, Answer]:
    """Return an estimator's answers to some propositions of a suite; those that are missing are computed and stored."""
    wanted = set(ids)
    unscored = unscored_items(warehouse, suite.suite_id, model.model_id)
    waiting = [each for each in unscored if each.proposition_id in wanted]
    store_scores(settings, warehouse, model, waiting, len(waiting))
    return stored_scores(warehouse, model, ids)


def _base(settings: Settings, warehouse: Warehouse, model: Model) -> Callable[[], Estimator]:
    from training.model.yes_no import load_yes_no_base

    fit = settings.training
    base = load_yes_no_base(warehouse.place(model.path), fit.device, fit.precision, bases=known_bases(settings))
    return lambda: base


def _answers_of(load: Callable[[], Estimator], name: str, rows: Sequence[SuiteItem], suite: Suite) -> dict[str, Answer]:
    """Return the answers of a model without levels; propositions that are too long have none."""
    with activity("evaluate") as shown:
        shown.doing(f"asking {name} about the suite {suite.name}")
        return {key: Answer(probability) for key, probability in load().answers(texts_of(rows).values())}


def _from_file(path: Path, columns: Sequence[str]) -> dict[str, Answer]:
    return {key: Answer(score) for key, score in read_scores(path, pairs(columns, SCORE_FIELDS)).items()}


def result_table(result: SuiteResult) -> tuple[str, Table]:
    """Return a line about a suite, and the figures on it as a table of 80 columns.

    p is that of no difference to the estimator (Holm) in the main figure, or in the squared error if the subject has no
    main figure, as a constant has no correlation. In a table of coherence each figure has rows of its own, whose n,
    interval and p are those of the figure.
    """
    line = f"{result.suite.name}: {result.n_items:,} items"
    if result.n_seen:
        line += f", {result.n_seen:,} seen in training {'and left out' if result.left_out else 'among them'}"
    whole = [each for each in result.figures if each.slice is None]
    measured = {each.metric for each in whole}
    names = figures_shown(result.suite.family, measured)
    table = _by_figure if result.suite.family == "coherence" else _by_subject
    return line, table(names, whole, result.differences)


def _by_subject(names: Sequence[str], figures: Sequence[Evaluation], differences: Sequence[Difference]) -> Table:
    """Return a table with a row per subject: all figures rest on the same items of it."""
    main, *others = names
    columns = ("n", main, INTERVAL, *(name.removesuffix("_judgments") for name in others), "p")
    table = narrow_table("subject", *columns, tight=True)
    found = {(each.subject, each.metric): each for each in figures}
    p = p_values(differences, main)
    for subject in dict.fromkeys(each.subject for each in figures):
        first = found.get((subject, main))
        if first is None:
            continue
        values = [_value(found.get((subject, name))) for name in others]
        table.add_row(subject, f"{first.n:,}", _value(first), _interval(first), *values, _digits(p.get(subject)))
    return table


def _by_figure(names: Sequence[str], figures: Sequence[Evaluation], differences: Sequence[Difference]) -> Table:
    """Return a table with a row per figure and subject: each figure rests on other items, so it has an n of its own."""
    table = narrow_table("figure", "subject", "n", "value", INTERVAL, "p", texts=("subject",), tight=True)
    table.columns[0].no_wrap = True  # the names of subjects are what may be long
    for name in names:
        p = p_values(differences, name)
        for number, each in enumerate(found := [each for each in figures if each.metric == name]):
            cells = (f"{each.n:,}", _value(each), _interval(each), _digits(p.get(each.subject)))
            last = number == len(found) - 1
            table.add_row("" if number else name, each.subject, *cells, end_section=last and name != names[-1])
    return table


def _value(figure: Evaluation | None) -> str:
    return "" if figure is None else _digits(figure.value)


def _interval(figure: Evaluation) -> str:
    return "" if figure.low is None else f"{figure.low:.3f} to {figure.high:.3f}"


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
