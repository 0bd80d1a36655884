"""Statuses, rules, payments and checks: what needs no Label Studio."""

from __future__ import annotations

import csv
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest

from flows.annotators.pay import owed
from flows.annotators.review import by_attention, by_qualification, rule_decisions
from flows.api import (
    annotators_exclude,
    annotators_invite,
    annotators_list,
    annotators_pay,
    annotators_status,
    import_checks,
    sql,
)
from flows.settings.people import PeopleSettings, RuleSettings
from flows.settings.settings import Settings, load_settings
from flows.stages.services import writing
from tests.fixtures.store import made_annotator, made_judgment, made_proposition, made_rows
from tests.warehouse.test_annotator_quality import made_check
from warehouse.catalog.store import merge, merge_all
from warehouse.errors import InputError
from warehouse.queries.people import CheckRate, decided, work_done
from warehouse.records import Check, Status, StudioProject

DAY = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def study(tmp_path: Path) -> Settings:
    """Three people with two judgments each, one a day."""
    (tmp_path / "odds.toml").write_text("")
    settings = load_settings(tmp_path / "odds.toml")
    with writing(settings) as warehouse:
        merge_all(warehouse, made_rows([(p, a, 0.5) for p in ("p", "q") for a in ("ada", "adele", "=sum")]))
        for day, proposition in enumerate("pq"):
            for name in ("ada", "adele", "=sum"):
                seconds = {"ada": 30.0, "adele": 4000.0, "=sum": None}[name]
                at = DAY + timedelta(days=day)
                merge(warehouse, [made_judgment(proposition, name, 0.5, submitted_at=at, lead_time_s=seconds)])
    return settings


def statuses(settings: Settings) -> dict[str, str]:
    return {row["pseudonym"]: row["status"] for row in annotators_list(config=settings)}


def counted(settings: Settings) -> int:
    return int(sql("SELECT count(*) AS n FROM valid_judgments", config=settings)["n"][0].as_py())


def test_an_exclusion_is_a_dated_row_with_its_reason_and_can_be_undone(study: Settings) -> None:
    annotators_status("ada", "watched", reason="hasty", config=study)
    done = annotators_exclude(made_annotator("ada").annotator_id[:8], reason="random clicks", config=study)
    assert done.stage == "annotators exclude"
    assert statuses(study) == {"ada": "excluded", "adele": "active", "=sum": "active"}
    assert counted(study) == 4
    annotators_exclude("ada", undo=True, config=study)
    assert statuses(study)["ada"] == "watched"
    assert counted(study) == 6
    rows = sql("SELECT status, reason, decided_by FROM annotator_statuses ORDER BY since", config=study).to_pylist()
    assert [row["status"] for row in rows] == ["watched", "excluded", "watched"]
    assert [row["reason"] for row in rows] == ["hasty", "random clicks", "no longer excluded for: random clicks"]
    assert {row["decided_by"] for row in rows} == {"person"}
    with pytest.raises(InputError, match="ada is not excluded"):
        annotators_exclude("ada", undo=True, config=study)


def test_the_people_of_a_project_are_those_who_judged_there(tmp_path: Path) -> None:
    (tmp_path / "odds.toml").write_text('[[annotation.projects]]\ntitle = "French"\n')
    settings = load_settings(tmp_path / "odds.toml")
    with writing(settings) as warehouse:
        merge_all(warehouse, made_rows([(p, a, 0.5) for p in ("p", "q", "r") for a in ("ada", "adele", "alan")]))
        titles = {"1@then": "French", "2@then": "French", "3@then": "Odds"}  # the first one was replaced
        places = enumerate(titles.items(), start=1)
        merge(warehouse, [StudioProject(project=key, number=n, url="u", title=title) for n, (key, title) in places])
        given = [("p", "ada", "1@then"), ("q", "ada", "2@then"), ("r", "ada", "3@then"), ("p", "adele", "2@then")]
        given += [("p", "alan", "3@then")]
        merge(warehouse, [made_judgment(p, a, 0.5, batch=key) for p, a, key in given])
    found = {row["pseudonym"]: row["n_in_project"] for row in annotators_list(project="French", config=settings)}
    assert found == {"ada": 2, "adele": 1}
    assert all("n_in_project" not in row for row in annotators_list(config=settings))
    with pytest.raises(InputError, match='no project of the settings is called "Fr": name one of French, Odds'):
        annotators_list(project="Fr", config=settings)


def test_an_unclear_name_a_wrong_status_or_no_reason_is_one_line(study: Settings) -> None:
    with pytest.raises(InputError, match=r'"ad" fits 2 annotators \(ada, adele'):
        annotators_status("ad", "watched", reason="x", config=study)
    with pytest.raises(InputError, match='there is no annotator "%": odds annotators list'):
        annotators_status("%", "watched", reason="x", config=study)
    for name in ("", " "):
        with pytest.raises(InputError, match="name is empty: odds annotators list"):
            annotators_exclude(name, reason="x", config=study)
    with pytest.raises(InputError, match='"gone" is not a status: use invited'):
        annotators_status("ada", "gone", reason="x", config=study)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="--reason is empty"):
        annotators_exclude("ada", reason=" ", config=study)


def test_qualification_by_hand() -> None:
    settings = PeopleSettings(qualify_at=0.8, qualify_checks=5)
    assert by_qualification(CheckRate(4, 4), settings, 10) == (None, "")
    assert by_qualification(CheckRate(5, 4), settings, 10) == ("qualified", "4 of 5 qualification checks passed")
    assert by_qualification(CheckRate(5, 3), settings, 10)[0] == "invited"
    assert by_qualification(CheckRate(3, 3), settings, 3)[0] == "qualified"  # there are no more
    assert by_qualification(CheckRate(0, 0), settings, 0) == (None, "")


def test_rules_on_attention_checks_by_hand() -> None:
    off, rules = RuleSettings(), RuleSettings(watch_below_check_rate=0.8, exclude_below_check_rate=0.5, min_checks=4)

    def decided(status: str, n: int, passed: int, rules: RuleSettings, before: Status = "active") -> object:
        return by_attention(status, before, CheckRate(n, passed), rules)

    assert decided("active", 9, 0, off) is None
    assert decided("active", 3, 0, rules) is None
    assert decided("active", 4, 3, rules) == ("watched", "3 of 4 attention checks passed, below 80%")
    assert decided("active", 4, 1, rules) == ("excluded", "1 of 4 attention checks passed, below 50%")
    assert decided("active", 10, 8, rules) is None
    assert decided("watched", 10, 8, rules) == ("active", "8 of 10 attention checks passed, no longer below the bar")
    assert decided("watched", 10, 8, rules, "qualified") == (
        "qualified",
        "8 of 10 attention checks passed, no longer below the bar",
    )
    # Whoever has not qualified can be excluded, but not be let in by being watched or taken back.
    assert decided("invited", 4, 3, rules, "invited") is None
    assert decided("invited", 4, 1, rules, "invited") == ("excluded", "1 of 4 attention checks passed, below 50%")
    for passed in (6, 8):
        back = ("invited", f"{passed} of 10 attention checks passed; not qualified yet")
        assert decided("excluded", 10, passed, rules, "invited") == back
    with pytest.raises(ValueError, match="must not be above"):
        RuleSettings(watch_below_check_rate=0.5, exclude_below_check_rate=0.8)


def test_amounts_are_rounded_half_up() -> None:
    assert owed(3, 0, 0.085, None) == 0.26  # 0.255
    assert owed(0, 90, None, 9.0) == 0.23  # 0.225
    assert owed(7, 0, 0.1, None) == 0.7


def test_no_judgment_is_paid_twice(study: Settings, tmp_path: Path) -> None:
    file = tmp_path / "pay.csv"
    first = annotators_pay("2026-01-01", "2026-01-02", output=file, rate_per_hour=12, config=study)
    assert (first.counts, first.note[:11]) == ({"annotators": 3, "judgments": 3}, "1.10 in all")
    rows = {row["annotator"]: row for row in csv.DictReader(file.open())}
    assert set(rows) == {"ada", "adele", "'=sum"}  # an apostrophe keeps a spreadsheet from running it
    assert (rows["ada"]["seconds"], rows["ada"]["amount"]) == ("30.0", "0.10")
    assert (rows["adele"]["seconds"], rows["adele"]["amount"]) == ("300.0", "1.00")  # up to the cap
    assert (rows["'=sum"]["seconds"], rows["'=sum"]["amount"]) == ("0.0", "0.00")
    before = file.read_text()
    with writing(study) as warehouse:  # pulled too late
        merge_all(warehouse, made_rows([("late", "ada", 0.5)]))
    again = annotators_pay("2026-01-01", "2026-01-02", output=file, rate_per_hour=99, config=study)
    assert "as recorded before" in again.note
    assert file.read_text() == before
    for start, end in (("2026-01-01", "2026-01-03"), ("2026-01-01T12:00", "2026-01-01T13:00")):
        with pytest.raises(InputError, match="2026-01-01 to 2026-01-02 is paid already"):
            annotators_pay(start, end, output=file, rate_per_hour=12, config=study)
    annotators_pay("2026-01-02", "2026-01-03", output=file, rate_per_judgment=1, config=study)
    paid = sql("SELECT sum(n_judgments) AS n, sum(amount) AS amount FROM payments", config=study).to_pylist()
    assert (paid[0]["n"], paid[0]["amount"]) == (6, pytest.approx(4.1))


def test_a_period_must_be_one_and_over(study: Settings, tmp_path: Path) -> None:
    for start, end, rate, said in (
        ("2026-01-02", "2026-01-01", 1.0, "is not before"),
        ("2026-01-01", "2999-01-01", 1.0, "in the future"),
        ("January", "2026-01-01", 1.0, "--from January is not a day"),
        ("2026-01-01", "2026-01-02", None, "give one of"),
    ):
        with pytest.raises(InputError, match=said):
            annotators_pay(start, end, output=tmp_path / "pay.csv", rate_per_hour=rate, config=study)
    rates: list[dict[str, Any]] = [{"rate_per_judgment": nan}, {"rate_per_judgment": -1.0}, {"rate_per_hour": inf}]
    for wrong in rates:
        with pytest.raises(InputError, match=r"--rate-per-(judgment|hour) must be from 0 to 1,000,000,000, not"):
            annotators_pay("2026-01-01", "2026-01-02", output=tmp_path / "pay.csv", config=study, **wrong)
    for cap in (nan, 0.0, inf):
        more: dict[str, Any] = {"rate_per_hour": 12.0, "cap_seconds": cap}
        with pytest.raises(InputError, match="--cap-seconds must be from 1 to"):
            annotators_pay("2026-01-01", "2026-01-02", output=tmp_path / "pay.csv", config=study, **more)
    assert not (tmp_path / "pay.csv").exists()


def test_two_payments_at_once_pay_nothing_twice(
    study: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both periods have the judgments of the first day. Each has looked at the work before either could write."""

    def slowly(*args: Any) -> list[dict[str, Any]]:
        found = work_done(*args)
        time.sleep(1)
        return found

    monkeypatch.setattr("flows.annotators.pay.work_done", slowly)

    def pay(end: str) -> str:
        try:
            annotators_pay("2026-01-01", end, output=tmp_path / f"{end}.csv", rate_per_judgment=1, config=study)
        except InputError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(2) as pool:
        told = list(pool.map(pay, ("2026-01-02", "2026-01-03")))
    assert sorted(bool(one) for one in told) == [False, True]
    assert "is paid already: choose a period outside it" in "".join(told)
    (paid,) = sql("SELECT count(*) AS n, count(DISTINCT period_end) AS periods FROM payments", config=study).to_pylist()
    assert paid == {"n": 3, "periods": 1}


def test_an_invitation_leads_to_the_main_project_or_the_one_named(tmp_path: Path) -> None:
    """The French project and the qualification in it were made before the main ones."""
    file = tmp_path / "odds.toml"
    titles = {"French": "study", "Entrée": "qualification", "Entry": "qualification", "Main": "study"}
    tables = [f'[[annotation.projects]]\ntitle = "{t}"\npurpose = "{p}"\n' for t, p in titles.items() if t != "Main"]
    file.write_text('[annotation]\nproject = "Main"\n' + "".join(tables))
    settings = load_settings(file)
    with pytest.raises(InputError, match='no project of the settings is called "Other": name one of French'):
        annotators_invite(study="ada", project="Other", config=settings)
    projects = [
        StudioProject(
            project=title, number=number, url="http://studio", title=title, purpose=purpose,  # type: ignore[arg-type]
            created_at=DAY + timedelta(days=number),
        )
        for number, (title, purpose) in enumerate(titles.items())
    ]  # fmt: skip
    with writing(settings) as warehouse:
        merge(warehouse, [made_annotator("ada", "human")])

    def leads_to(title: str | None = None) -> str:
        return annotators_invite(study="ada", project=title, config=settings).project

    with pytest.raises(InputError, match="there is no project to invite to yet"):
        leads_to()
    with writing(settings) as warehouse:
        merge(warehouse, projects[:3])
    assert leads_to() == "French"
    with pytest.raises(InputError, match='there is no project "Main" to invite to yet'):
        leads_to("Main")
    with writing(settings) as warehouse:
        merge(warehouse, projects[3:])
    assert (leads_to(), leads_to("French")) == ("Main", "French")
    with pytest.raises(InputError, match='"Entry" is no study project: leave out --study'):
        leads_to("Entry")

    class Server:
        url = "http://studio"

        def invite_path(self) -> str:
            return "/user/signup?token=x"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flows.annotators.invite.connecting", lambda _: Server)
        assert annotators_invite(config=settings).project == "Entrée"
        assert annotators_invite(project="Entry", config=settings).project == "Entry"
        with pytest.raises(InputError, match='"French" is no qualification project: invite to qualification first'):
            annotators_invite(project="French", config=settings)


def test_failing_attention_checks_lets_nobody_past_qualification(study: Settings) -> None:
    """Ada fails qualification and judges the study anyway; adele, who qualified, is watched and taken back."""
    rules = RuleSettings(watch_below_check_rate=0.8, exclude_below_check_rate=0.3, min_checks=2)
    annotation = PeopleSettings(qualify_at=1, qualify_checks=1, rules=rules)
    ids = {name: made_annotator(name).annotator_id for name in ("ada", "adele")}

    def review(*ratings: tuple[str, str, float]) -> dict[str, str]:
        with writing(study) as warehouse:
            merge_all(warehouse, made_rows([*ratings]))
            merge(warehouse, rule_decisions(warehouse, annotation, 1))
        return statuses(study)

    with writing(study) as warehouse:
        merge_all(warehouse, made_rows([(f"check {number}", "nobody", 0.5) for number in range(5)]))
        merge(warehouse, [made_check(f"check {number}", 0.9, 1.0) for number in range(4)])
        merge(warehouse, [made_check("check 4", 0.9, 1.0, "qualification")])
        merge(warehouse, [decided(one, "invited", "signed up", by_rule=True) for one in ids.values()])
    assert review(("check 4", "ada", 0.1), ("check 4", "adele", 0.95))["ada"] == "invited"
    now = review(("check 0", "ada", 0.95), ("check 1", "ada", 0.1), ("check 0", "adele", 0.95), ("check 1", "adele", 0))
    assert (now["ada"], now["adele"]) == ("invited", "watched")
    assert review(("check 0", "ada", 0.1))["ada"] == "excluded"
    now = review(*((f"check {number}", name, 0.95) for number in range(4) for name in ids))
    assert (now["ada"], now["adele"]) == ("invited", "qualified")
    with pytest.raises(InputError, match="ada is invited"):
        annotators_invite(study="ada", config=study)
    now = review(("check 4", "ada", 0.95))
    assert (now["ada"], now["adele"]) == ("qualified", "active")


def test_checks_come_from_a_file_and_change_with_it(study: Settings, tmp_path: Path) -> None:
    file = tmp_path / "checks.csv"
    file.write_text(
        "premise,hypothesis,low,high,purpose\n"
        "It rains.,It is wet outside.,90,100,\n"
        "premise p,hypothesis p,0,5,practice\n"
    )
    outcome = import_checks(file, scale="0:100", config=study)
    assert outcome.counts == {"new checks": 2, "changed": 0, "already there": 0, "new propositions": 1}
    assert "3 judgments on them no longer count" in outcome.note
    assert counted(study) == 3
    rows = sql("SELECT low, high, purpose FROM checks ORDER BY low", config=study).to_pylist()
    assert rows == [{"low": 0, "high": 0.05, "purpose": "practice"}, {"low": 0.9, "high": 1, "purpose": "attention"}]
    file.write_text("premise,hypothesis,low,high\nIt rains.,It is wet outside.,80,100\n")
    assert import_checks(file, scale="0:100", purpose="qualification", config=study).counts["changed"] == 1


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("P,H,0.9,0.1,", "line 2, column 'low': above high"),
        ("P,H,,0.1,", "column 'low': empty"),
        ("P,H,0,2,", "column 'high'"),
        ("P,H,0,1,gold", "'gold' is unknown"),
        ("P,H,0,1,\nP,H,0,1,", "line 3, column 'hypothesis': the proposition occurs twice"),
    ],
)
def test_a_wrong_check_is_said_with_its_place_and_nothing_is_imported(
    study: Settings, tmp_path: Path, row: str, said: str
) -> None:
    file = tmp_path / "checks.csv"
    file.write_text(f"premise,hypothesis,low,high,purpose\n{row}\n")
    with pytest.raises(InputError, match=said):
        import_checks(file, config=study)
    assert sql("SELECT * FROM checks", config=study).num_rows == 0


def test_rules_reverse_their_own_decisions_but_not_a_persons(study: Settings) -> None:
    annotation = PeopleSettings(rules=RuleSettings(exclude_below_check_rate=0.5, min_checks=2))

    def review(*ratings: tuple[str, float]) -> dict[str, str]:
        with writing(study) as warehouse:
            merge_all(warehouse, made_rows([(name, who, value) for name, value in ratings for who in ("ada", "adele")]))
            checks = [made_proposition(f"check {number}").proposition_id for number in range(3)]
            band = {"low": 0.9, "high": 1.0, "purpose": "attention"}
            merge(warehouse, [Check(check_id=one, proposition_id=one, **band) for one in checks])  # type: ignore[arg-type]
            merge(warehouse, rule_decisions(warehouse, annotation, 0))
        return statuses(study)

    assert review(("check 0", 0.1), ("check 1", 0.95))["ada"] == "active"
    assert review(("check 1", 0.2))["ada"] == "excluded"
    annotators_exclude("adele", undo=True, reason="I know her", config=study)
    assert review()["adele"] == "active"
    assert review(("check 1", 0.95), ("check 2", 0.95))["ada"] == "active"
    assert sql(
        "SELECT reason FROM current_statuses WHERE status = 'active' AND decided_by = 'rule' AND since IS NOT NULL",
        config=study,
    )["reason"].to_pylist() == ["2 of 3 attention checks passed, no longer below the bar"]
