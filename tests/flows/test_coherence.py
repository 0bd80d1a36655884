"""The figures of coherence of an estimator and of the panel, from scores and estimates in the warehouse."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.evaluation.coherence import coherence_figures, score_items
from flows.settings.settings import load_settings
from tests.warehouse.test_coherence import NOTHING, made
from warehouse import open_warehouse
from warehouse.catalog.store import merge_all
from warehouse.queries.derived import coherence_items
from warehouse.records import Estimate, Model, Premise, Score, premise_id

MODEL = Model(
    model_id="m", name="odds", dataset_id="d", base_model="b", settings="{}", code_version="1", path="models/m",
    dev_loss=None, steps=1, duration_s=1.0,
)  # fmt: skip


def test_who_answered_both_is_measured(tmp_path: Path) -> None:
    (tmp_path / "odds.toml").write_text("")
    settings = load_settings(tmp_path / "odds.toml")
    premises = [Premise(premise_id=premise_id(text), text=text, source="s") for text in ("A", "B", "C")]
    first = [made(each.text, "h") for each in premises]
    pairs = zip(premises, first, strict=True)
    negated = [made(each.text, "not h", "negation", parent=one.proposition_id) for each, one in pairs]
    keys, values = [each.proposition_id for each in (*first, *negated)], (0.5, 0.5, 0.5, 0.5, 0.75, 1.0)
    scores = [
        Score(score_id=key, model_id="m", proposition_id=key, score=value, level_probabilities=[1 - value, value])
        for key, value in zip(keys, values, strict=True)
    ]
    estimates = [
        Estimate(
            estimate_id=f"e {key}", proposition_id=key, labeler="llm", labeler_version="1", method="verbalised",
            probability=0.9,
        )
        for key in (first[0].proposition_id, negated[0].proposition_id, first[1].proposition_id)
    ]  # fmt: skip
    with open_warehouse(settings.catalog, read_only=False) as warehouse:
        assert coherence_figures(settings, warehouse, MODEL, coherence_items(warehouse, NOTHING), 0.5) == ([], [])
        merge_all(warehouse, [premises, [*first, *negated], scores, estimates])
        rows = coherence_items(warehouse, NOTHING)
        assert score_items(settings, warehouse, MODEL, rows) == 0
        found = {
            each.subject: each
            for each in coherence_figures(settings, warehouse, MODEL, rows, 0.5)[0]
            if each.metric == "negation_gap"
        }
    assert {each.suite for each in found.values()} == {"coherence"}
    assert {name: each.n for name, each in found.items()} == {"estimator": 3, "labeler:llm": 1, "constant": 3}
    assert {name: each.value for name, each in found.items()} == pytest.approx(
        {"estimator": (0 + 0.25 + 0.5) / 3, "labeler:llm": 0.8, "constant": 0.0}
    )
