"""Gathering the data of the report from the warehouse, the dataset and the estimator's folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flows.estimators.named import learned_from
from flows.evaluation.subjects import ESTIMATOR as OURS
from flows.research.figures import over_time, shown_figures, telling_slices
from flows.score import held_out
from flows.settings.settings import Settings
from flows.stages.services import report_path, shown_catalog
from training.evaluation.report_data import (
    ConsensusSpread,
    CurvePoint,
    LabelerAnswers,
    ReportData,
    ScoredProposition,
    Slice,
    Spent,
    StageCount,
    SuiteFigures,
)
from training.evaluation.slices import range_of, slices
from training.evaluation.split import SUITE, split_items
from training.evaluation.subjects import PANEL
from training.evaluation.subjects import panel as panel_answers
from training.fit.record import read_record
from training.levels import quantile
from training.model.calibration import read_calibration
from warehouse.agreement.selection import Selection
from warehouse.catalog.connect import Warehouse
from warehouse.catalog.store import read
from warehouse.queries.disagreement import kinds_of
from warehouse.queries.labelers import panel_versions
from warehouse.queries.stages import counts, current_agreement, current_estimates, labeler_answers, valid_judgments
from warehouse.records import ESTIMATOR, Agreement, Dataset, Difference, Evaluation, Model, Score, Suite, now
from warehouse.shards import SHARD_SCHEMA, SPLITS, Manifest, read_manifest

INTERVAL = (0.1, 0.9)
STAGES_SHOWN = (
    "premises",
    "propositions",
    "requests answered",
    "requests refused",
    "estimates",
    "estimates without a probability",
    "tasks",
    "annotators",
    "judgments",
    "propositions with a consensus",
    "dropped rows",
)


def write_report_on(settings: Settings, warehouse: Warehouse, model: Model, test: pa.Table) -> None:
    """Write the report on an estimator, which was measured on `test`, from what the warehouse has."""
    from training.evaluation.report import write_report

    write_report(report_data(settings, warehouse, model, test), report_path(settings, model.model_id))


def renew_report(settings: Settings, warehouse: Warehouse, model: Model) -> None:
    """Write the report on an estimator again if there is one, since figures of suites are new."""
    if report_path(settings, model.model_id).exists():
        test = held_out(warehouse, model, learned_from(warehouse, [model]))
        write_report_on(settings, warehouse, model, pa.Table.from_batches(test, SHARD_SCHEMA))


def report_data(settings: Settings, warehouse: Warehouse, model: Model, test: pa.Table) -> ReportData:
    """Return all data of the report on `model`, which was measured on `test`. Only summaries are computed here."""
    (dataset,) = read(warehouse, Dataset, "dataset_id = ?", [model.dataset_id])
    manifest, folder = read_manifest(warehouse.place(dataset.path)), warehouse.place(model.path)
    judgments = valid_judgments(warehouse)
    measured, weeks = over_time(warehouse, Selection().scope)
    evaluations, differences = _recorded(warehouse, model, SUITE)
    return ReportData(
        title=f"Probability judgments: {dataset.name} v{dataset.version}",
        created_at=now(),
        n_judgments=judgments.num_rows,
        n_simulated=sum(judgments["is_simulated"].to_pylist()),
        n_annotators=len(set(judgments["annotator_id"].to_pylist())),
        n_simulated_annotators=len(set(judgments.filter(judgments["is_simulated"])["annotator_id"].to_pylist())),
        stages=_stages(warehouse),
        agreement=_agreement(warehouse),
        measured=measured,
        weeks=weeks,
        consensus=_spread(judgments),
        judgments=judgments["probability"].to_pylist(),
        labelers=[LabelerAnswers.model_validate(row) for row in labeler_answers(warehouse).to_pylist()],
        curve=_curve(folder),
        learns_levels=_learns_levels(model, folder),
        calibration=read_calibration(folder),
        evaluations=evaluations,
        differences=differences,
        test=_test(warehouse, model, test),
        slices=_slices(test),
        suites=list(_suites(warehouse, model)),
        spent=spent(warehouse, model),
        sources=list(manifest.licences),
        provenance=_provenance(settings, model, dataset, manifest),
    )


def _recorded(warehouse: Warehouse, model: Model, suite: str) -> tuple[list[Evaluation], list[Difference]]:
    where, params = "model_id = ? AND suite = ?", [model.model_id, suite]
    return read(warehouse, Evaluation, where, params), read(warehouse, Difference, where, params)


def _suites(warehouse: Warehouse, model: Model) -> Iterator[SuiteFigures]:
    """Yield the imported suites that the estimator was measured on."""
    for suite in read(warehouse, Suite):
        figures, differences = _recorded(warehouse, model, suite.name)
        whole = [each for each in figures if each.slice is None]
        if any(each.subject == OURS and each.n for each in whole):
            yield SuiteFigures(
                name=suite.name,
                family=suite.family,
                n_items=suite.n_items,
                n_seen=max((each.n for each in figures if (each.subject, each.slice) == (OURS, "seen=yes")), default=0),
                evaluations=whole,
                differences=differences,
            )


def _stages(warehouse: Warehouse) -> list[StageCount]:
    shown = {row["stage"]: row for row in counts(warehouse).to_pylist()}
    return [
        StageCount(
            name=name,
            count=shown[name]["n"],
            remark=f"{shown[name]['n_simulated']:,} of them simulated" if shown[name]["n_simulated"] else "",
        )
        for name in STAGES_SHOWN
    ]


def _agreement(warehouse: Warehouse) -> list[Agreement]:
    """The figures of the valid judgments, alpha by slice, and the correlation of each labeler in use with them."""
    figures = current_agreement(warehouse)
    scope = Selection().scope
    panel = {f"labeler {labeler}, version {version}, {scope}" for labeler, version in panel_versions(warehouse)}
    newest: dict[str, Agreement] = {}
    for each in sorted(figures, key=lambda figure: figure.created_at):
        if (each.metric, each.slice) == ("pearson_with_mean_judgment", "all") and each.scope in panel:
            name = each.scope.partition(",")[0]
            newest[name] = each.model_copy(update={"scope": name})
    labelers = [newest[name] for name in sorted(newest)]
    return shown_figures(figures, scope) + telling_slices(figures, scope) + labelers


def _spread(judgments: pa.Table) -> list[ConsensusSpread]:
    """The mean and the SD of the judgments of each proposition; the SD is None for a single judgment."""
    grouped = judgments.group_by("proposition_id").aggregate([("probability", "list")])
    values = [np.array(each) for each in grouped["probability_list"].to_pylist()]
    deviations = [float(each.std(ddof=1)) if len(each) > 1 else None for each in values]
    pairs = zip(values, deviations, strict=True)
    return [ConsensusSpread(mean=float(each.mean()), sd=sd) for each, sd in pairs]


def _curve(folder: Path) -> list[CurvePoint]:
    history = json.loads((folder / "training.json").read_text(encoding="utf-8"))["history"]
    return [CurvePoint(step=each["step"], loss=each["loss"], dev_loss=each["dev_loss"]) for each in history]


def _learns_levels(model: Model, folder: Path) -> bool:
    """Whether the fit began with level tokens that meant nothing: an encoder has none, an estimator knows them."""
    return json.loads(model.settings).get("kind", "causal") == "causal" and read_record(folder).base_loss is None


def _test(warehouse: Warehouse, model: Model, test: pa.Table) -> list[ScoredProposition]:
    scores = {row.proposition_id: row for row in read(warehouse, Score, "model_id = ?", [model.model_id])}
    ids = test["proposition_id"].to_pylist()
    llms = (each for each in current_estimates(warehouse, ids) if each.method != ESTIMATOR)
    panel = dict(panel_answers(llms))
    asked = panel.get(PANEL, next(iter(panel.values()), {}))
    judged = {item.propositions[0]: item.judgments for item in split_items(test).items}
    kinds = kinds_of(warehouse, ids)
    rows = test.select(["proposition_id", "premise", "hypothesis", "mean"]).to_pylist()
    return [
        _scored(row, scores[key], judged.get(key)).model_copy(
            update={"panel_mean": asked[key].score if key in asked else None, "kind": kinds.get(key)}
        )
        for key, row in zip(ids, rows, strict=True)
        if key in scores
    ]


def _scored(row: dict[str, Any], score: Score, judgments: npt.NDArray[np.float64] | None) -> ScoredProposition:
    low, high = (float(quantile(score.level_probabilities, q)) for q in INTERVAL)
    return ScoredProposition(
        premise=row["premise"],
        hypothesis=row["hypothesis"],
        score=score.score,
        levels=score.level_probabilities,
        low=low,
        high=high,
        mean=row["mean"],
        judgments=[] if judgments is None else sorted(judgments.tolist()),
    )


def _slices(test: pa.Table) -> list[Slice]:
    items = split_items(test)
    ranges = {name: range_of(items, name, rows) or (None, None) for name, rows in slices(items).items()}
    return [Slice(name=name, low=low, high=high) for name, (low, high) in ranges.items()]


def spent(warehouse: Warehouse, model: Model) -> list[Spent]:
    """Return what the models, annotators and the fit of an estimator took."""
    asked = warehouse.sql(
        "SELECT labeler, purpose, sum(n_requests)::BIGINT AS n, sum(tokens_in + tokens_out)::BIGINT AS tokens, "
        "sum(cost) AS cost, sum(mean_latency_s * (n_requests - n_cached)) AS seconds "
        "FROM labeler_cost GROUP BY ALL ORDER BY ALL"
    ).to_pylist()
    rows = [
        Spent(
            name=f"{row['labeler']}, {row['purpose']}",
            amount=f"{row['n']:,} requests, {row['tokens']:,} tokens",
            time=duration(row["seconds"] or 0.0),
            cost="" if row["cost"] is None else f"{row['cost']:.2f}",
        )
        for row in asked
    ]
    (lead,) = warehouse.sql(
        "SELECT count(lead_time_s) AS n, count(*) AS judged, sum(lead_time_s) AS total, median(lead_time_s) AS middle "
        "FROM valid_judgments"
    ).to_pylist()
    known = f", time known of {lead['n']:,}, median {lead['middle']:.0f} s" if lead["n"] else ""
    rows.append(
        Spent(name="annotators", amount=f"{lead['judged']:,} judgments{known}", time=duration(lead["total"] or 0.0))
    )
    rows.append(Spent(name="fit of the estimator", amount=f"{model.steps:,} steps", time=duration(model.duration_s)))
    return rows


def duration(seconds: float) -> str:
    """Return a time as text, in seconds, minutes or hours; empty for 0."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.0f} s" if seconds else ""


def _provenance(settings: Settings, model: Model, dataset: Dataset, manifest: Manifest) -> list[tuple[str, str]]:
    splits = ", ".join(f"{manifest.counts[split]:,} {split}" for split in SPLITS)
    pairs = f"; {sum(manifest.pairs.values()):,} order pairs" if any(manifest.pairs.values()) else ""
    return [
        ("Warehouse", f"{shown_catalog(settings)}, snapshot {dataset.snapshot_id}"),
        ("Training set", f"{dataset.name} v{dataset.version}, {dataset.dataset_id}"),
        ("Its folder", dataset.path),
        ("Its propositions", f"{splits}{pairs}"),
        ("They rest on", f"{manifest.n_judgments:,} judgments and {manifest.n_estimates:,} estimates"),
        ("Base model", model.base_model),
        ("Estimator", f"{model.model_id}, {model.steps:,} steps in {duration(model.duration_s)}"),
        ("Training settings", _settings(model.settings)),
        ("Code version", model.code_version),
    ]


def _settings(text: str) -> str:
    """Return settings in JSON as a line that can be read."""
    found: dict[str, Any] = json.loads(text)
    return ", ".join(f"{name} = {json.dumps(value)}" for name, value in sorted(found.items()) if value is not None)
