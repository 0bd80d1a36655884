"""The researcher's journey on real judgments: import, agree, publish, train, evaluate, score."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.fixtures.commands import Run, ended_well
from tests.fixtures.estimator import Base

# From shared/data/README.md, propositions keyed by their texts.
ALPHA = {
    ("--with-cannot-judge", "--with-rejected", "--with-repeats"): 0.491669,
    ("--with-rejected", "--with-repeats"): 0.506339,
    ("--with-repeats",): 0.518588,
    ("--with-rejected",): 0.515588,
}


@pytest.mark.long
def test_real_judgments_from_file_to_report(tmp_path: Path, odds: Run, tiny_base: Base, nli_variation: Path) -> None:
    (tmp_path / "odds.toml").write_text(f'[training]\nbase = "{tiny_base.path}"\nepochs = 1\nprecision = "fp32"\n')
    said = ended_well(odds("import", "judgments", str(nli_variation), "--column", "lead_time=assignment_seconds"))
    assert "351 new propositions" in said
    assert "18,472 new judgments" in said
    again = ended_well(odds("import", "judgments", str(nli_variation), "--column", "lead_time=assignment_seconds"))
    assert "0 new judgments" in again
    assert "0 changed" in again

    for options, expected in ALPHA.items():
        said = ended_well(odds("agree", *options))
        alpha = re.search(r"interval alpha (\d\.\d+)", said)
        assert alpha is not None
        assert float(alpha[1]) == pytest.approx(expected, abs=1e-6)

    ended_well(odds("agree"))
    assert "3 new shards" in ended_well(odds("publish"))
    assert "3 shards match" in ended_well(odds("publish", "--verify"))
    ended_well(odds("train", timeout=900))
    said = ended_well(odds("evaluate", timeout=900))
    report = re.search(r"report: (.+\.html)", said)
    assert report is not None
    text = Path(report[1]).read_text()
    assert "imported" in text or "Annotators" in text
    assert "simulated annotators" not in text.lower()

    (tmp_path / "mine.jsonl").write_text(
        json.dumps({"premise": "It rains.", "hypothesis": "The street is wet."})
        + "\n"
        + json.dumps({"premise": "It rains.", "hypothesis": "The sun shines."})
    )
    ended_well(odds("score", "mine.jsonl", "--output", "scores.parquet"))
    scores = pq.read_table(tmp_path / "scores.parquet").to_pylist()
    assert [row["hypothesis"] for row in scores] == ["The street is wet.", "The sun shines."]
    assert all(0 < row["score"] < 1 and sum(row["level_probabilities"]) == pytest.approx(1) for row in scores)
