"""The files of crowd platforms, in the shape that the platforms publish; the people in them are made up."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from annotation.people.crowd import Export, bonus_lines, crowd_annotator
from annotation.sync.mapping import annotator_of
from flows.annotators.crowd import UNKNOWN
from flows.api import (
    annotators_approve,
    annotators_bonus,
    annotators_exclude,
    annotators_pay,
    annotators_report,
    sql,
)
from flows.settings.settings import Settings, load_settings
from flows.stages.services import writing
from tests.fixtures.store import made_judgment, made_rows
from tests.warehouse.test_annotator_quality import made_check
from warehouse.catalog.store import merge, merge_all
from warehouse.errors import InputError
from warehouse.records import StudioProject

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
        [EVE, UNKNOWN],
    ]


def test_mturk_gets_its_batch_back_with_approve_and_reject(study: Settings, tmp_path: Path) -> None:
    annotators_approve(tmp_path / "mturk.csv", "mturk", output=tmp_path / "reviewed.csv", min_judgments=3, config=study)
    rows = list(csv.DictReader((tmp_path / "reviewed.csv").open()))
    assert [(row["AssignmentId"], row["Approve"], row["Reject"]) for row in rows] == [
        ("3ASSIGN1", "x", ""),
        ("3ASSIGN2", "", ""),  # the address may be mistyped, or the judgments not pulled yet
    ]
    assert dict(csv.reader((tmp_path / "reviewed-review.csv").open())) == {"WorkerId": "reason", "A2WORKER": UNKNOWN}
    annotators_approve(tmp_path / "mturk.csv", "mturk", output=tmp_path / "reviewed.csv", min_judgments=4, config=study)
    first = next(csv.DictReader((tmp_path / "reviewed.csv").open()))
    assert (first["Approve"], first["Reject"]) == ("", "3 of 4 judgments were submitted")
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
        f"{EVE}x": UNKNOWN,
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
    assert outcome.counts == {"bonuses": 2, "written before": 0, "of others": 1}
    assert sorted((tmp_path / "bonus.csv").read_text().splitlines()) == sorted([f"{ANN},0.75", f"{BEN},0.75"])


def test_only_work_that_waits_or_was_approved_earns_a_bonus() -> None:
    states = ("APPROVED", "AWAITING REVIEW", "REJECTED", "RETURNED", "TIMED-OUT")
    rows = "".join(f"{number:024x},{state}\n" for number, state in enumerate(states))
    people = Export("prolific", "study.csv", f"Participant id,Status\n{rows}").people()
    assert sorted(people.values()) == [f"{number:024x}" for number in (0, 1)]
    assert len(Export("prolific", "study.csv", f"Participant id\n{ANN}\n{BEN}\n").people()) == 2


def test_nobody_gets_the_bonus_of_a_period_twice(study: Settings, tmp_path: Path) -> None:
    """Ann and Ben take part in two studies of a month; in the first, Ben's work was not approved."""
    period = ("2026-11-01", "2026-11-02")
    annotators_pay(*period, output=tmp_path / "pay.csv", rate_per_judgment=0.25, config=study)
    header = "Submission id,Participant id,Status\n"
    (tmp_path / "first.csv").write_text(f"{header}1,{ANN},APPROVED\n2,{BEN},REJECTED\n")
    (tmp_path / "second.csv").write_text(f"{header}3,{ANN},AWAITING REVIEW\n4,{BEN},APPROVED\n")
    file = tmp_path / "bonus.csv"
    outcome = annotators_bonus(tmp_path / "first.csv", *period, output=file, config=study)
    assert outcome.counts == {"bonuses": 1, "written before": 0, "of others": 2}
    assert file.read_text() == f"{ANN},0.75\n"

    with pytest.raises(InputError, match=r"every bonus of .* was written before; --again writes them again"):
        annotators_bonus(tmp_path / "first.csv", *period, output=file, config=study)
    with pytest.raises(InputError, match=r"bonus\.csv exists, and bonuses written before \(1\) would not be in it"):
        annotators_bonus(tmp_path / "second.csv", *period, output=file, config=study)
    assert file.read_text() == f"{ANN},0.75\n"
    outcome = annotators_bonus(tmp_path / "second.csv", *period, output=tmp_path / "more.csv", config=study)
    assert outcome.counts == {"bonuses": 1, "written before": 1, "of others": 1}
    assert (tmp_path / "more.csv").read_text() == f"{BEN},0.75\n"
    annotators_pay(*period, output=tmp_path / "pay.csv", rate_per_judgment=0.25, config=study)  # forgets nothing
    assert sql("SELECT count(bonus_at) AS n FROM payments", config=study)["n"].to_pylist() == [2]
    file.unlink()
    annotators_bonus(tmp_path / "first.csv", *period, output=file, again=True, config=study)
    assert file.read_text() == f"{ANN},0.75\n"


def test_each_judgment_of_the_batch_counts_once(study: Settings, tmp_path: Path) -> None:
    """Ann's second batch: two propositions, a repeat of one, practice, and "cannot judge" on the check; one deleted."""
    names = {"p": 0.5, "q": 0.5, "practice": 0.3}
    with writing(study) as warehouse:
        merge_all(warehouse, made_rows([("practice", "nobody", 0.5), ("other", "nobody", 0.5)]))
        merge(warehouse, [made_check("practice", 0.2, 0.4, "practice")])
        merge(
            warehouse,
            [
                StudioProject(project=key, number=number, url="http://studio", title=title)
                for number, (key, title) in enumerate({"key 1": "batch 1", "key 2": "batch 2"}.items())
            ],
        )
        warehouse.connection.execute("UPDATE judgments SET batch = 'key 1'")
        own: dict[str, Any] = {"annotator_id": crowd_annotator("prolific", ANN), "batch": "key 2"}
        own |= {"submitted_at": datetime(2026, 11, 5, 12, tzinfo=UTC)}
        second = [made_judgment(name, "second", value, **own) for name, value in names.items()]
        second.append(made_judgment("p", "repeat", 0.6, **own))
        second.append(made_judgment("check", "second", None, cannot_judge=True, **own))
        second.append(made_judgment("other", "deleted", 0.6, deleted_at=datetime(2026, 11, 6, tzinfo=UTC), **own))
        second.append(made_judgment("other", "rejected", 0.6, status="rejected", **own))
        merge(warehouse, second)

    def reasons(**more: Any) -> dict[str, str]:
        file, output = tmp_path / "prolific.csv", tmp_path / "approve.txt"
        annotators_approve(file, "prolific", output=output, config=study, **more)
        return dict(list(csv.reader((tmp_path / "approve-review.csv").open()))[1:])

    for limits in ({"project": "batch 2"}, {"start": "2026-11-02"}, {"start": "2026-11-05", "end": "2026-11-06"}):
        assert reasons(min_judgments=5, **limits) == {BEN: UNKNOWN, EVE: UNKNOWN}
        assert reasons(min_judgments=6, **limits)[ANN] == "5 of 6 judgments were submitted"
        assert reasons(min_check_rate=0.5, **limits)[ANN] == "0% of the attention checks were passed"
    for limits in ({"project": "batch 1"}, {"end": "2026-11-05T12:00"}):
        assert reasons(min_judgments=4, **limits)[ANN] == "3 of 4 judgments were submitted"
        assert ANN not in reasons(min_judgments=3, min_check_rate=1.0, **limits)
    assert ANN not in reasons(min_judgments=8)
    assert reasons(min_judgments=9)[ANN] == "8 of 9 judgments were submitted"

    annotators_exclude(crowd_annotator("prolific", ANN), reason="random clicks", config=study)
    assert reasons()[ANN] == "is excluded: random clicks"
    assert (tmp_path / "approve.txt").read_text() == f"{BEN}\n"
    with pytest.raises(InputError, match=r'is called "batch 3": name one of them \(batch 1, batch 2\)'):
        reasons(project="batch 3")
    with pytest.raises(InputError, match="--from 2026-11-02 is not before --to 2026-11-01"):
        reasons(start="2026-11-02", end="2026-11-01")
    for option in ({"min_check_rate": float("nan")}, {"min_check_rate": 1.5}, {"min_judgments": 0}):
        with pytest.raises(InputError, match="must be from"):
            reasons(**option)


def test_no_file_replaces_the_export_or_what_the_warehouse_needs(study: Settings, tmp_path: Path) -> None:
    export, period = tmp_path / "prolific.csv", ("2026-11-01", "2026-11-02")
    with pytest.raises(InputError, match=r"prolific\.csv is one of the inputs; name another output"):
        annotators_approve(export, "prolific", output=export, config=study)
    with pytest.raises(InputError, match=r"prolific\.csv is one of the inputs; name another output"):
        annotators_bonus(export, *period, output=export, config=study)
    data = Path(study.data_path)
    with pytest.raises(InputError, match="is in the data folder of the warehouse"):
        annotators_pay(*period, output=data / "pay.csv", rate_per_judgment=1, config=study)
    with pytest.raises(InputError, match="is in the data folder of the warehouse"):
        annotators_report(data / "report.html", config=study)
    assert export.read_text() == PROLIFIC
    assert sql("SELECT count(*) AS n FROM payments", config=study)["n"].to_pylist() == [0]


def test_what_is_no_export_is_refused(study: Settings, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no column WorkerId: export the submissions from mturk"):
        annotators_approve(tmp_path / "prolific.csv", "mturk", output=tmp_path / "x.csv", config=study)
    with pytest.raises(InputError, match="cannot be read as CSV"):
        annotators_approve(tmp_path / "none.csv", "mturk", output=tmp_path / "x.csv", config=study)
    with pytest.raises(InputError, match=r"takes no file of bonuses: .* its API \(SendBonus\)"):
        annotators_bonus(tmp_path / "mturk.csv", "2026-11-01", "2026-11-02", output=tmp_path / "x.csv", config=study)
    with pytest.raises(InputError, match="is not a participant id of Prolific"):
        bonus_lines({"a": "=1+1"}, [("a", 1.0)])
