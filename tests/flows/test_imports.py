from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from flows.cli import app as cli
from flows.imports import ends_of, import_judgments, mapping_of, pairs
from flows.settings.settings import Settings
from training.fit.examples import judged
from training.targets import mixture
from warehouse import open_warehouse
from warehouse.errors import InputError
from warehouse.shards import ShardRows

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


def test_thousands_of_responses_become_a_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    responses = json.dumps({"0": 3000, "100": 3000})
    Path("counts.jsonl").write_text(f'{{"premise": "It rains.", "hypothesis": "It is wet.", "n": {responses}}}\n')
    for command in (
        ["import", "judgments", "counts.jsonl", "--counts", "n", "--split", "train"],
        ["agree"],
        ["publish"],
    ):
        result = CliRunner().invoke(cli.app, command)
        assert result.exit_code == 0, result.exception
    (batch,) = ShardRows(tmp_path / ".odds/datasets/odds/v1", "train").to_batches()
    found = judged(batch)
    assert found.weights.sum() > 1 + 1e-6  # each is rounded up
    (target,) = mixture(found, 0.1, 10)
    low = np.diff(stats.norm(0, 0.1).cdf([-np.inf, *np.arange(1, 10) / 10, np.inf]))
    np.testing.assert_allclose(target, (low + low[::-1]) / 2, atol=1e-9)


def test_the_same_file_under_another_name_is_not_taken_for_other_people(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / ".odds")
    monday, friday = tmp_path / "monday.csv", tmp_path / "friday.csv"
    header, rows = "premise,hypothesis,annotator,rating\n", [f"P{n},H,{n % 3},{17 * n % 100}\n" for n in range(9)]
    monday.write_text(header + "".join(rows))
    assert import_judgments(monday, config=settings).counts["new judgments"] == 9
    friday.write_text(header + "".join([*rows, "P9,H,1,50\n"]))
    with pytest.raises(InputError, match=r"friday\.csv: 9 of its judgments came from the source 'monday' before"):
        import_judgments(friday, config=settings)
    assert import_judgments(friday, config=settings, source="monday").counts["new judgments"] == 1
    # other people with the same ids, who mostly judge differently
    friday.write_text(header + "".join(f"P{n},H,{n % 3},{(17 * n + 40 * (n > 2)) % 100}\n" for n in range(9)))
    assert import_judgments(friday, config=settings).counts["new annotators"] == 3
    # a source that is known stays what it is, and a person may insist
    monday.write_text(friday.read_text())
    assert import_judgments(monday, config=settings).counts["changed"] == 6
    assert import_judgments(friday, config=settings, source="others").counts["new judgments"] == 9


@pytest.mark.parametrize("name", ["", "  "])
def test_a_source_without_a_name_is_refused_before_anything_is_read(tmp_path: Path, name: str) -> None:
    options = ["--config", str(tmp_path / "odds.toml"), "import"]
    (tmp_path / "odds.toml").touch()
    for kind in ("premises", "propositions", "judgments", "choices"):
        found = CliRunner().invoke(cli.app, [*options, kind, str(tmp_path / "no such file"), "--source", name])
        assert str(found.exception) == (
            "the source needs a name, and this one is empty; leave --source out to use the file's name"
        )
    assert not (tmp_path / ".odds").exists()


def test_why_rows_were_left_out_is_in_the_last_line(tmp_path: Path) -> None:
    file = tmp_path / "file.csv"
    file.write_text("premise,hypothesis,annotator,rating\nP,H,a,20\nP,H,b,\nP,H,c,NA\n")
    outcome = import_judgments(file, config=Settings(home=tmp_path / ".odds"))
    assert outcome.counts["dropped"] == 2
    assert outcome.note == "left out: no rating (2), see the table drops"


def test_options_become_a_mapping() -> None:
    worded = mapping_of([], ordinal="no, maybe,yes")
    assert (worded.ordinal_words, worded.labels) == (("no", "maybe", "yes"), (1, 3))
    assert mapping_of([], ordinal="no|yes, but").ordinal_words == ("no", "yes, but")
    for wrong in ("no,No", "no,,yes", "no"):
        with pytest.raises(InputError, match=f"--ordinal {wrong} must"):
            mapping_of([], ordinal=wrong)
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


def test_evidence_of_every_kind_goes_from_files_to_order_pairs_and_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ODDS_PUBLISH__PAIRS_WEIGHT", "0.5")
    sentence = "the old man walks his two dogs along the river every single morning"
    Path("labels.csv").write_text(f"premise,hypothesis,rating\n{sentence},He is out.,4\n{sentence}!,He sleeps.,1\n")
    Path("counts.jsonl").write_text('{"premise": "It rains.", "hypothesis": "It is wet.", "n": [1, 3]}\n')
    Path("values.csv").write_text('premise,hypothesis,all,split\nIt snows.,It is cold.,"[90, 70]",val\n')
    Path("copa.jsonl").write_text(
        '{"premise": "It is wet.", "choice1": "It rains.", "choice2": "It snows.", "question": "cause", "label": 0}\n'
    )

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(cli.app, list(arguments))
        assert result.exit_code == 0, result.exception
        return result.output.replace("\n", " ")

    said = run("import", "judgments", "labels.csv", "--aggregated", "--ordinal", "1:5", "--split", "train")
    assert "2 new judgments" in said
    assert "2 premises with a stated split" in said
    assert "annotators" not in said
    run("import", "judgments", "counts.jsonl", "--counts", "n=0,100")
    run("import", "judgments", "values.csv", "--values", "all")
    assert "1 new choices" in run("import", "choices", "copa.jsonl", "--format", "copa", "--split", "test")
    Path("again.csv").write_text(f"premise,split\n{sentence},dev\n")
    run("import", "premises", "again.csv")
    assert "no judgment has a known annotator" in run("agree")
    said = run("publish")
    assert "1 order pairs" in said
    assert "1 propositions are more held out than a file states" in said
    with open_warehouse(tmp_path / ".odds/warehouse/catalog.sqlite") as warehouse:
        rows = warehouse.sql(
            "SELECT m.text, s.split, s.stated_split, c.mean, c.widths FROM splits s JOIN premises m USING (premise_id) "
            "JOIN consensus c USING (proposition_id) ORDER BY m.text"
        ).to_pylist()
        (choice,) = warehouse.sql("SELECT choice_id FROM choices")["choice_id"].to_pylist()
    # "It rains." has the split of the choice. The second sentence is held out with its near-duplicate.
    assert [(row["text"], row["split"], row["stated_split"]) for row in rows] == [
        ("It rains.", "test", "test"),
        ("It snows.", "test", "test"),
        (sentence, "dev", "dev"),
        (f"{sentence}!", "dev", "train"),
    ]
    assert [row["mean"] for row in rows] == pytest.approx([0.75, 0.8, 0.7, 0.1])
    assert [row["widths"] for row in rows] == [[0.0] * 4, [0.0] * 2, [0.2], [0.2]]
    traced = run("trace", choice)
    assert "published in" in traced
    assert "choices" in run("status")


def test_options_that_contradict_each_other_are_refused() -> None:
    for more, said in (
        ({"values": "a", "counts": "b"}, "use one of them"),
        ({"counts": "a=x"}, "--counts a=x must be COLUMN=RATING"),
        ({"ordinal": "5:1"}, "--ordinal 5:1: LOW must be below HIGH"),
        ({"ordinal": "1:4.5"}, "whole numbers such as 1:5"),
        ({"ordinal": "1:5", "scale": "1:5"}, "--ordinal 1:5 and --scale 1:5 contradict each other"),
        ({"ordinal": "five"}, "--ordinal five must be LOW:HIGH, such as 1:5"),
    ):
        with pytest.raises(InputError, match=said):
            mapping_of([], **more)
    result = CliRunner().invoke(cli.app, ["import", "judgments", "f.csv", "--aggregated", "--annotators", "human"])
    assert "contradict each other" in str(result.exception)
