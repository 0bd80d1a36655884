"""Statuses, rules, payments and checks: what needs no Label Studio."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.annotators.pay import owed
from flows.annotators.review import by_attention, by_qualification, rule_decisions
from flows.api import annotators_exclude, annotators_list, annotators_pay, annotators_status, import_checks, sql
from flows.services import writing
from flows.settings.people import PeopleSettings, RuleSettings
from flows.settings.settings import Settings, load_settings
from tests.fixtures.store import made_annotator, made_judgment, made_proposition, made_rows
from warehouse.catalog.store import merge, merge_all
from warehouse.errors import InputError
from warehouse.queries.people import CheckRate
from warehouse.records import Check

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
    annotators_exclude(made_annotator("ada").annotator_id[:8], reason="random clicks", config=study)
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


def test_an_unclear_name_a_wrong_status_or_no_reason_is_one_line(study: Settings) -> None:
    with pytest.raises(InputError, match=r'"ad" fits 2 annotators \(ada, adele'):
        annotators_status("ad", "watched", reason="x", config=study)
    with pytest.raises(InputError, match='there is no annotator "%": odds annotators list'):
        annotators_status("%", "watched", reason="x", config=study)
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
    assert by_attention("active", CheckRate(9, 0), off) is None
    assert by_attention("active", CheckRate(3, 0), rules) is None
    assert by_attention("active", CheckRate(4, 3), rules) == ("watched", "3 of 4 attention checks passed, below 80%")
    assert by_attention("active", CheckRate(4, 1), rules) == ("excluded", "1 of 4 attention checks passed, below 50%")
    assert by_attention("active", CheckRate(10, 8), rules) is None
    assert (by_attention("watched", CheckRate(10, 8), rules) or ("",))[0] == "active"
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
    assert not (tmp_path / "pay.csv").exists()


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
