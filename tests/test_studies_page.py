"""The page for whoever runs a study: every command on it is run as it is printed, in its order."""

from __future__ import annotations

import csv
import re
import shlex
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from uuid import uuid4

import pytest

from annotation.people.crowd import crowd_annotator
from annotation.people.users import add_annotator
from annotation.studio.client import Studio
from flows.annotators.pay import CAP_S
from flows.listen import EVERY_MINUTES, PORT
from flows.serving.puller import LONGEST_RETRY_S, RETRY_S
from flows.settings.settings import load_settings
from tests.fixtures.commands import Inside
from tests.fixtures.llm_runs import rows, value
from tests.fixtures.studio import StudioServer
from tests.flows.test_mixing import judge
from tests.test_docs import ROOT
from warehouse import open_warehouse
from warehouse.queries.stages import describe_tables

PAGE = ROOT / "docs" / "studies.md"
PREMISE = "A box holds ten balls, numbered from 0 to 9, and one is drawn."
STUDY = ("The number is 3.", "The number is above 4.")
CHECKS = {f"The number is below {n}.": n * 10 for n in (1, 3, 5, 7, 9)}
ATTENTION = {"The number is below 10.": 100}
RUNS_ON = "odds listen --register"  # until it is stopped: tests/flows/test_listen.py runs it
NAMED = "A-1f3c"
"""The annotator of the page. Somebody whose id begins like that is looked for."""
TOML = """
[annotation]
url = "{url}"
project = "study {name}"
check_rate = 0.4
repeat_rate = 0.1
qualify_at = 0.8
qualify_checks = 5

[[annotation.projects]]
title = "qualification {name}"
purpose = "qualification"

[[annotation.projects]]
title = "Plausibility in French"
languages = ["fr"]

[annotation.crowd]
completion_code = "C1ABCDEF"
screen_out_code = "S1ABCDEF"
"""


def commands() -> list[str]:
    """The commands of the page, in their order."""
    found = re.findall(r"^ *```sh\n(.*?)^ *```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = [line.strip() for text in found for line in text.splitlines()]
    return [line for line in lines if line.startswith("odds ") and not line.startswith(RUNS_ON)]


def participant() -> str:
    """The id of somebody at Prolific whom the page's name fits."""
    ids = (f"{number:024x}" for number in count())
    return next(one for one in ids if crowd_annotator("prolific", one).startswith(NAMED.removeprefix("A-")))


def unwrapped(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture
def place(tmp_path: Path, studio_server: StudioServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the settings and the files that the page names."""
    monkeypatch.setenv("LABEL_STUDIO_TOKEN", studio_server.token)
    monkeypatch.setenv("PREFECT_API_URL", "")
    (tmp_path / "odds.toml").write_text(TOML.format(url=studio_server.url, name=uuid4().hex[:8]))
    with (tmp_path / "study.csv").open("w") as file:
        csv.writer(file).writerows([("premise", "hypothesis"), *((PREMISE, text) for text in STUDY)])
    bands = [(PREMISE, text, max(0, at - 5), min(100, at + 5), "qualification") for text, at in CHECKS.items()]
    bands += [(PREMISE, text, 95, at, "attention") for text, at in ATTENTION.items()]
    with (tmp_path / "checks.csv").open("w") as file:
        csv.writer(file).writerows([("premise", "hypothesis", "low", "high", "purpose"), *bands])
    return tmp_path


def exports(place: Path, person: str) -> None:
    """What the platforms export: a row of somebody who took part, and one of somebody who never signed up."""
    (place / "submissions.csv").write_text(
        "Submission id,Participant id,Status,Completion code\n"
        f"64a,{person},AWAITING REVIEW,C1ABCDEF\n64b,{'f' * 24},AWAITING REVIEW,S1ABCDEF\n"
    )
    (place / "Batch_1_batch_results.csv").write_text(
        "AssignmentId,WorkerId,AssignmentStatus,Answer.surveycode\n3A,A1WORKER,Submitted,C1ABCDEF\n"
    )


@pytest.mark.slow
def test_every_command_runs_as_printed(
    place: Path, inside: Inside, studio_server: StudioServer, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, person, told = place / "odds.toml", participant(), dict[str, str]()
    later = datetime(2027, 1, 1, tzinfo=UTC)
    settings = load_settings(config)
    exports(place, person)

    def run(line: str) -> str:
        status, out, err = inside(*shlex.split(line, comments=True)[1:])
        assert status == 0, f"{line}\n{err}"
        told[line.partition("  ")[0]] = out + err
        return out + err

    def judged(purpose: str, token: str, answers: dict[str, float]) -> None:
        judge(studio_server, token, settings, purpose, answers)
        run("odds pull")

    for line in commands():
        if line.startswith("odds annotators invite --study"):  # by then they have qualified, as the page says
            run("odds push")
            token = add_annotator(studio, f"{person}@email.prolific.com", "8-letter")
            judged("qualification", token, {text: float(at) for text, at in CHECKS.items()})
            assert "1 qualified" in run("odds annotators review")
            judged("study", token, {text: float(at) for text, at in ATTENTION.items()})
            with open_warehouse(settings.catalog, read_only=False) as warehouse:  # the page's month
                warehouse.connection.execute("UPDATE judgments SET submitted_at = '2026-11-10 12:00:00+00'")
            monkeypatch.setattr("flows.annotators.pay.now", lambda: later)
        run(line)

    def said(start: str) -> str:
        return next(text for line, text in told.items() if line.startswith(start))

    assert "a secret" in told["odds annotators invite"]
    for code in ("C1ABCDEF", "S1ABCDEF"):
        assert f"code {code}, at Prolific https://app.prolific.com/submissions/complete?cc={code}" in unwrapped(
            told["odds annotators invite"]
        )
    assert f"{person}@email.prolific.com" in said("odds annotators list --emails")
    # Other tests may have people on the same server, who are invited too.
    who = f"annotator_id = '{crowd_annotator('prolific', person)}'"
    query = f"SELECT status FROM annotator_statuses WHERE {who} ORDER BY since"
    statuses = [row["status"] for row in rows(config, query)]
    assert statuses == ["invited", "qualified", "watched", "excluded", "watched"]
    assert NAMED in (place / "people.html").read_text()
    assert NAMED in said("odds sql")
    (paid,) = csv.DictReader((place / "november.csv").open())
    n_judged = int(value(config, "SELECT count(*) FROM judgments"))
    assert (paid["judgments"], paid["amount"]) == (str(n_judged), f"{n_judged * 0.08:.2f}")
    assert list(csv.DictReader((place / "december.csv").open())) == []
    assert (place / "bonus.csv").read_text() == f"{person},{n_judged * 0.08:.2f}\n"
    assert (place / "approve.txt").read_text() == ""
    reasons = dict(csv.reader((place / "approve-review.csv").open()))
    assert reasons["f" * 24] == "came with the screen-out code"
    assert reasons[person] == f"{n_judged} of 20 judgments were submitted"
    (reviewed,) = csv.DictReader((place / "reviewed.csv").open())
    assert (reviewed["Approve"], reviewed["Reject"]) == ("", "")


def test_the_page_names_what_is_there(tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    with open_warehouse(tmp_path / "catalog.sqlite", read_only=False) as warehouse:
        known = {one.name: one for one in describe_tables(warehouse)}
    columns = {column.name for column in known["annotator_quality"].columns}
    table = page.split("| column of `annotator_quality` |")[1].split("\n\n")[0]
    told = set(re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in table.splitlines()[2:])))
    assert len(told) > 12
    assert told <= columns
    (too_fast,) = (one.comment for one in known["annotator_habits"].columns if one.name == "share_too_fast")
    assert "below 2 seconds, or faster than 60 characters a second" in page
    assert {"2", "60"} <= set(re.findall(r"\d+", too_fast))
    for view in ("check_results", "repeated_judgments", "annotator_statuses", "payments", "tasks"):
        assert f"`{view}`" in page
        assert view in known
    again = f"tries a pull that failed again after {RETRY_S:g} seconds, then {2 * RETRY_S:g}, up to 5 minutes"
    assert f"every hour (`--every MINUTES`), and {again}" in page
    assert (EVERY_MINUTES, LONGEST_RETRY_S) == (60, 300)
    assert f"`http://127.0.0.1:{PORT}/webhook`" in page
    assert f"`--cap-seconds` ({CAP_S:.0f} by default)" in page
