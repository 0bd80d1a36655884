"""Gathering the data of the report from the warehouse, the dataset and the estimator's folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from flows.research.figures import over_time, shown_figures, telling_slices
from flows.services import shown_catalog
from flows.settings.settings import Settings
from training.evaluation.report_data import (
    ConsensusSpread,
    CurvePoint,
    LabelerAnswers,
    ReportData,
    ScoredProposition,
    StageCount,
)
from training.evaluation.subjects import PANEL
from training.evaluation.subjects import panel as panel_answers
from training.levels import quantile
from warehouse.agreement.selection import Selection
from warehouse.catalog.connect import Warehouse
from warehouse.catalog.store import read
from warehouse.queries.labelers import panel_versions
from warehouse.queries.stages import counts, current_agreement, current_estimates, labeler_answers, valid_judgments
from warehouse.records import Agreement, Dataset, Evaluation, Model, Score, now
from warehouse.shards import read_split

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


def report_data(settings: Settings, warehouse: Warehouse, model: Model, evaluations: list[Evaluation]) -> ReportData:
    """Return all data of the report on `model`. Only summaries are computed here."""
    (dataset,) = read(warehouse, Dataset, "dataset_id = ?", [model.dataset_id])
    judgments = valid_judgments(warehouse)
    measured, weeks = over_time(warehouse, Selection().scope)
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
        curve=_curve(warehouse.place(model.path)),
        evaluations=evaluations,
        test=_test(warehouse, model, dataset),
        provenance=_provenance(settings, model, dataset),
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


def _test(warehouse: Warehouse, model: Model, dataset: Dataset) -> list[ScoredProposition]:
    scores = {row.proposition_id: row for row in read(warehouse, Score, "model_id = ?", [model.model_id])}
    test = read_split(warehouse.place(dataset.path), "test", "human").to_pylist()
    panel = dict(panel_answers(current_estimates(warehouse, [row["proposition_id"] for row in test])))
    asked = panel.get(PANEL, next(iter(panel.values()), {}))
    shown = []
    for row in test:
        if (score := scores.get(row["proposition_id"])) is None:
            continue
        low, high = (float(quantile(score.level_probabilities, q)) for q in INTERVAL)
        shown.append(
            ScoredProposition(
                premise=row["premise"],
                hypothesis=row["hypothesis"],
                score=score.score,
                low=low,
                high=high,
                mean=row["mean"],
                panel_mean=asked[row["proposition_id"]].score if row["proposition_id"] in asked else None,
                n_judgments=row["n_judgments"],
            )
        )
    return shown


def _provenance(settings: Settings, model: Model, dataset: Dataset) -> list[tuple[str, str]]:
    return [
        ("Dataset", f"{dataset.name} v{dataset.version}, {dataset.dataset_id}"),
        ("Dataset folder", dataset.path),
        ("Warehouse", f"{shown_catalog(settings)}, snapshot {dataset.snapshot_id}"),
        ("Estimator", model.model_id),
        ("Base model", model.base_model),
        ("Training settings", model.settings),
        ("Steps", f"{model.steps} in {model.duration_s:.0f} s"),
        ("Code version", model.code_version),
    ]
