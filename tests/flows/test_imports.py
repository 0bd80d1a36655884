from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app as cli
from flows.imports import ends_of, mapping_of, pairs
from warehouse import open_warehouse
from warehouse.errors import InputError

MTURK = """HITId,AssignmentId,WorkerId,AssignmentStatus,SubmitTime,Input.premise,Input.hypothesis,Answer.taskAnswers
H1,A1,W1,Approved,Mon Mar 04 09:01:10 PST 2024,It &amp; rains.,It is wet.,"[{""slider"":90}]"
"""


def test_the_options_reach_the_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("premises.txt").write_bytes("pre~x\nSchön.~-99\n".encode("cp1252"))
    Path("train.csv").write_text('id;pre;hyp;unli\n1;"It &amp; rains.";It is wet.;94,6\n2;It rains.;It is dry.;-99\n')
    Path("batch.csv").write_text(MTURK)
    Path("times.csv").write_text(
        "premise,hypothesis,annotator,rating,submitted_at\nIt rains.,It is wet.,W1,9,1612101530\n"
    )

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(cli.app, ["import", *arguments])
        assert result.exit_code == 0, result.exception
        return result.output

    named = ("--column", "premise=pre")
    options = (*named, "--column", "source=x", "--separator", "~", "--encoding", "cp1252", "--missing", "-99")
    assert "1 new premises" in run("premises", "premises.txt", *options, "--source", "mine")
    spelled = (*named, "--column", "hypothesis=hyp", "--column", "probability=unli", "--scale", "0:100", "--entities")
    said = run("propositions", "train.csv", *spelled, "--missing", "-99", "--decimal", "comma").replace("\n", " ")
    assert "2 new propositions" in said
    assert "(separated by semicolons; not read: id)" in said
    run("judgments", "batch.csv", "--format", "mturk", "--column", "rating=Answer.taskAnswers:/0/slider")
    run("judgments", "times.csv", "--dates", "epoch", "--scale", "0:10", "--source", "t")
    Path("groups.csv").write_text("who,team,from\nW1,7.0,t\n")
    grouping = ("--column", "annotator=who", "--column", "group=team", "--column", "source=from")
    assert "1 annotators changed" in run("groups", "groups.csv", *grouping)
    with open_warehouse(tmp_path / ".odds/warehouse/catalog.sqlite") as warehouse:
        assert warehouse.sql("SELECT text, source FROM premises ORDER BY text").to_pylist() == [
            {"text": "It & rains.", "source": "train"},
            {"text": "It rains.", "source": "train"},
            {"text": "Schön.", "source": "mine"},
        ]
        targets = warehouse.sql("SELECT target_probability AS p FROM propositions ORDER BY hypothesis, premise_id")
        assert sorted(targets["p"].to_pylist(), key=str) == [pytest.approx(0.946), None, None]
        groups = warehouse.sql("SELECT annotator_group FROM annotators WHERE source = 't'")
        assert groups["annotator_group"].to_pylist() == ["7"]
        found = warehouse.sql("SELECT probability AS p, submitted_at::VARCHAR AS at FROM judgments ORDER BY p")
        assert found["p"].to_pylist() == [0.9, 0.9]
        assert sorted(text[:19] for text in found["at"].to_pylist()) == ["2021-01-31 13:58:50", "2024-03-04 17:01:10"]


def test_options_become_a_mapping() -> None:
    mapping = mapping_of(["rating=score", "status="], "-1:1")
    assert (mapping.rating, mapping.status, mapping.scale) == ("score", None, (-1.0, 1.0))
    assert mapping.premise == "premise"
    assert ends_of("0.5:9.5") == (0.5, 9.5)
    assert ends_of("0%:100%") == (0.0, 100.0)


@pytest.mark.parametrize(
    ("columns", "scale"),
    [(["rating"], "0:100"), (["colour=x"], "0:100"), (["rating="], "0:100"), (["scale=x"], "0:100")]
    + [(["rating=a", "rating=b"], "0:100")]
    + [([], scale) for scale in ("100", "5:5", "9:1", "a:b", "nan:1", "0:inf")],
)
def test_options_that_cannot_be_read(columns: list[str], scale: str) -> None:
    with pytest.raises(InputError) as raised:
        mapping_of(columns, scale)
    assert "\n" not in str(raised.value)


def test_a_field_that_an_import_does_not_know_is_said() -> None:
    with pytest.raises(InputError, match="FIELD is one of premise, source"):
        pairs(["rating=x"], ["premise", "source"])
