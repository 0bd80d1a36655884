"""`odds judge` where a panel disagrees, against a stub that gives fixed answers; no model answers here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.elicit import elicit
from flows.judge import judge
from tests.fixtures.llm_runs import endpoint, install, labeler, others, rows
from tests.synthesis.faulty_endpoint import answers, faulty

SURE, SPLIT = "The street is wet.", "There is a parade."


def plays(handler: object) -> None:
    """The second labeler is told by its temperature; the judge trusts the low answers more, wherever they stand."""
    body = handler.body  # type: ignore[attr-defined]
    text = body["messages"][-1]["content"]
    if "probability" in text and text.count('"answer"') == 2:
        shown = json.loads(text[text.index("[") : text.rindex("]") + 1])
        said: object = {
            "confidences": [
                {"answer": each["answer"], "confidence": 1.0 if each["probability"] < 0.5 else 0.5} for each in shown
            ]
        }
    else:
        said = {"reasoning": "r", "probability": 0.75 if SURE in text or body["temperature"] > 1 else 0.125}
    answers(json.dumps(said))(handler)  # type: ignore[arg-type]


def test_only_a_panel_that_disagrees_is_judged_and_only_once(tmp_path: Path) -> None:
    with faulty(plays) as server:
        panel = (labeler("a", "e"), labeler("b", "e", more="temperature = 1.5"))
        config = install(tmp_path, endpoint("e", server), *panel, others("e"), hypotheses=[SURE, SPLIT])
        elicit.fn(config)
        outcome = judge.fn(config)
        assert (outcome.counts["requests"], outcome.counts["verdicts"]) == (1, 2)
        assert judge.fn(config).counts == {"requests": 0}
    assert server.requests == 2 * 2 + 1
    found = {
        row["hypothesis"]: row
        for row in rows(
            config, "SELECT hypothesis, p.* FROM panel_distribution p JOIN propositions USING (proposition_id)"
        )
    }
    # Weights go as confidence^2 + 1e-6: 1 against .25.
    assert found[SPLIT]["weights"] == pytest.approx([0.8, 0.2], abs=1e-5)
    assert found[SPLIT]["mean"] == pytest.approx(0.8 * 0.125 + 0.2 * 0.75, abs=1e-5)
    assert (found[SPLIT]["judge"], found[SPLIT]["n_verdicts"]) == ("j", 2)
    assert (found[SURE]["weights"], found[SURE]["judge"]) == ([0.5, 0.5], None)
