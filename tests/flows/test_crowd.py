"""The files of crowd platforms, in the shape that the platforms publish; the people in them are made up."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path

import pytest

from annotation.people.crowd import bonus_lines, crowd_annotator
from annotation.sync.mapping import annotator_of
from flows.api import annotators_approve, annotators_bonus, annotators_pay
from flows.services import writing
from flows.settings.settings import Settings, load_settings
from tests.fixtures.store import made_judgment, made_rows
from tests.warehouse.test_annotator_quality import made_check
from warehouse.catalog.store import merge, merge_all
from warehouse.errors import InputError

ANN, BEN, EVE = "5b96601d3400a939db45dac9", "60a1c2d3e4f5a6b7c8d9e0f1", "0123456789abcdef01234567"
PROLIFIC = f"""Submission id,Participant id,Status,Started at,Completed at,Time taken,Completion code
64a,{ANN},AWAITING REVIEW,2026-11-01T10:00:00Z,2026-11-01T10:10:00Z,600,C1ABCDEF
64b,{BEN},AWAITING REVIEW,2026-11-01T10:00:00Z,2026-11-01T10:10:00Z,600,NOCODE
64c,{EVE},AWAITING REVIEW,2026-11-01T10:00:00Z,2026-11-01T10:10:00Z,600,C1ABCDEF
64d,{ANN[::-1]},RETURNED,2026-11-01T10:00:00Z,,,
"""
MTURK = """"HITId","HITTypeId","Title","AssignmentId","WorkerId","AssignmentStatus","Answer.text","Approve","Reject"
"3HIT","3TYPE","Judge","3ASSIGN1","A1WORKER","Submitted","=1+1","",""
"3HIT","3TYPE","Judge","3ASSIGN2","A2WORKER","Submitted","done","",""
"3HIT","3TYPE","Judge","3ASSIGN3","A3WORKER","Approved","done","x",""
"""


@pytest.fixture
def study(tmp_path: Path) -> Settings:
    """Two judgments and a passed check of Ann and A1WORKER, two and a failed check of Ben; Eve never signed up."""
    (tmp_path / "odds.toml").write_text("")
    (tmp_path / "prolific.csv").write_text(PROLIFIC)
    (tmp_path / "mturk.csv").write_text(MTURK)
    settings = load_settings(tmp_path / "odds.toml")
    emails = {f"{ANN}@email.prolific.com": 0.95, f"{BEN}@email.prolific.com": 0.1, "a1worker@mturk.invalid": 0.95}
    with writing(settings) as warehouse:
        merge_all(warehouse, made_rows([(name, "nobody", 0.5) for name in ("p", "q", "check")]))
        merge(warehouse, [made_check("check", 0.9, 1.0)])
        for number, (email, on_check) in enumerate(emails.items()):
            annotator = annotator_of(number, email)
            own = {"annotator_id": annotator.annotator_id, "submitted_at": datetime(2026, 11, 1, tzinfo=UTC)}
            values = {"p": 0.5, "q": 0.5, "check": on_check}
            rows = [made_judgment(name, email, value, **own) for name, value in values.items()]
            merge_all(warehouse, [[annotator], rows])
    return settings


def test_the_account_of_a_worker_is_found_by_the_platforms_id() -> None:
    assert crowd_annotator("prolific", ANN) == annotator_of(7, f"{ANN.upper()}@email.prolific.com").annotator_id
    assert crowd_annotator("mturk", "A1WORKER") == annotator_of(7, "a1worker@mturk.invalid").annotator_id


def test_prolific_gets_ids_to_approve_and_a_person_the_rest(study: Settings, tmp_path: Path) -> None:
    outcome = annotators_approve(
        tmp_path / "prolific.csv",
        "prolific",
        output=tmp_path / "approve.txt",
        min_judgments=3,
        min_check_rate=0.5,
        config=study,
    )
    assert outcome.counts == {"to approve": 1, "to look at": 2}
    assert (tmp_path / "approve.txt").read_text() == f"{ANN}\n"
    rows = list(csv.reader((tmp_path / "approve-review.csv").open()))
    assert rows == [
        ["participant_id", "reason"],
        [BEN, "0% of the attention checks were passed"],
        [EVE, "0 of 3 judgments were submitted"],
    ]


def test_mturk_gets_its_batch_back_with_approve_and_reject(study: Settings, tmp_path: Path) -> None:
    annotators_approve(tmp_path / "mturk.csv", "mturk", output=tmp_path / "reviewed.csv", min_judgments=3, config=study)
    rows = list(csv.DictReader((tmp_path / "reviewed.csv").open()))
    assert [(row["AssignmentId"], row["Approve"], row["Reject"]) for row in rows] == [
        ("3ASSIGN1", "x", ""),
        ("3ASSIGN2", "", "0 of 3 judgments were submitted"),
    ]
    assert list(rows[0]) == list(csv.DictReader(MTURK.splitlines()).fieldnames or [])
    assert rows[0]["Answer.text"] == "'=1+1"


def test_codes_are_compared_but_the_judgments_decide(study: Settings, tmp_path: Path) -> None:
    (tmp_path / "odds.toml").write_text(
        '[annotation.crowd]\ncompletion_code = "C1ABCDEF"\nscreen_out_code = "S1ABCDEF"\n'
    )
    codes = load_settings(tmp_path / "odds.toml")
    screened = PROLIFIC.replace(f"{EVE},AWAITING REVIEW", f"{EVE}x,AWAITING REVIEW").replace("600,C1", "600, c1", 1)
    screened += f"64e,{EVE},AWAITING REVIEW,2026-11-01T10:00:00Z,2026-11-01T10:10:00Z,600,S1ABCDEF\n"
    (tmp_path / "prolific.csv").write_text(screened)
    more = {"output": tmp_path / "approve.txt", "min_judgments": 3, "config": codes}
    assert annotators_approve(tmp_path / "prolific.csv", "prolific", **more).counts == {  # type: ignore[arg-type]
        "to approve": 2,
        "to look at": 3,
    }
    assert (tmp_path / "approve.txt").read_text() == f"{ANN}\n{BEN}\n"
    assert dict(csv.reader((tmp_path / "approve-review.csv").open())) == {
        "participant_id": "reason",
        BEN: "enough was judged; came without a completion code",
        f"{EVE}x": "0 of 3 judgments were submitted",
        EVE: "came with the screen-out code",
    }

    with pytest.raises(InputError, match=r"has no column Answer\.surveycode"):
        annotators_approve(tmp_path / "mturk.csv", "mturk", **more)  # type: ignore[arg-type]
    batch = MTURK.replace("Answer.text", "Answer.surveycode").replace("done", "s1abcdef")
    (tmp_path / "mturk.csv").write_text(batch)
    annotators_approve(tmp_path / "mturk.csv", "mturk", **more)  # type: ignore[arg-type]
    rows = list(csv.DictReader((tmp_path / "approve.txt").open()))
    assert [(row["WorkerId"], row["Approve"], row["Reject"]) for row in rows] == [
        ("A1WORKER", "x", ""),
        ("A2WORKER", "", ""),  # nobody is rejected for having been screened out
    ]
    assert dict(csv.reader((tmp_path / "approve-review.csv").open())) == {
        "WorkerId": "reason",
        "A1WORKER": "enough was judged; came with the code =1+1",
        "A2WORKER": "came with the screen-out code",
    }


def test_codes_that_are_none_are_refused(tmp_path: Path) -> None:
    for line in ('completion_code = "two words"', 'completion_code = "A"\nscreen_out_code = "A"'):
        (tmp_path / "odds.toml").write_text(f"[annotation.crowd]\n{line}\n")
        with pytest.raises(InputError, match=r"annotation\.crowd"):
            load_settings(tmp_path / "odds.toml")


def test_bonuses_are_those_of_a_paid_period(study: Settings, tmp_path: Path) -> None:
    arguments = (tmp_path / "prolific.csv", "2026-11-01", "2026-11-02")
    with pytest.raises(InputError, match="is not paid yet: odds annotators pay"):
        annotators_bonus(*arguments, output=tmp_path / "bonus.csv", config=study)
    annotators_pay("2026-11-01", "2026-11-02", output=tmp_path / "pay.csv", rate_per_judgment=0.25, config=study)
    outcome = annotators_bonus(*arguments, output=tmp_path / "bonus.csv", config=study)
    assert outcome.counts == {"bonuses": 2, "of others": 1}
    assert sorted((tmp_path / "bonus.csv").read_text().splitlines()) == sorted([f"{ANN},0.75", f"{BEN},0.75"])


def test_what_is_no_export_is_refused(study: Settings, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no column WorkerId: export the submissions from mturk"):
        annotators_approve(tmp_path / "prolific.csv", "mturk", output=tmp_path / "x.csv", config=study)
    with pytest.raises(InputError, match="cannot be read as CSV"):
        annotators_approve(tmp_path / "none.csv", "mturk", output=tmp_path / "x.csv", config=study)
    with pytest.raises(InputError, match=r"takes no file of bonuses: .* its API \(SendBonus\)"):
        annotators_bonus(tmp_path / "mturk.csv", "2026-11-01", "2026-11-02", output=tmp_path / "x.csv", config=study)
    with pytest.raises(InputError, match="is not a participant id of Prolific"):
        bonus_lines({"a": "=1+1"}, [("a", 1.0)])
