"""A study from invitation to payment and the manager's page, with a person in a real browser.

Nobody touches a file of the product's.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.sync_api import Page

from flows.agree import agree
from flows.annotators.invite import annotators_invite
from flows.annotators.listing import annotators_list
from flows.annotators.pay import annotators_pay
from flows.annotators.report import annotators_report
from flows.annotators.review import annotators_review
from flows.checks import import_checks
from flows.imports import import_propositions
from flows.pull import pull
from flows.push import push
from tests.annotation.test_page import SCREENSHOTS, SLIDER, open_stream, submit
from tests.fixtures.browser import browsing, escape
from tests.fixtures.llm_runs import rows, settings_file, value
from tests.fixtures.studio import StudioServer
from warehouse.errors import InputError
from warehouse.records import annotator_id, pseudonym

HYPOTHESIS = ".odds-hypothesis .lsf-richtext__container"
NEXT = """([where, text]) => {
    const shown = document.querySelector(where);
    return shown ? shown.innerText !== text : /no more|completed all/i.test(document.body.innerText);
}"""
"""Whether another task is shown, or the page tells that there is none."""
DARK = """() => {
    const root = document.documentElement, before = root.getAttribute("data-color-scheme");
    root.setAttribute("data-color-scheme", "dark");
    const found = [".odds-feedback .ant-collapse-content", ".odds-hypothesis"]
        .map(where => getComputedStyle(document.querySelector(where)).backgroundColor);
    root.setAttribute("data-color-scheme", before);
    return found;
}"""
"""The backgrounds of the opened fold and of the hypothesis in the dark scheme."""
PREMISE = "A box holds a hundred numbered balls, and one is drawn without looking."
STUDY = {
    f"The number is at most {n}.": n
    for n in (0, 1, 3, 5, 10, 18, 20, 25, 33, 40, 50, 55, 60, 66, 75, 80, 90, 95, 99, 100)
}
QUALIFICATION = {f"The number is above {n}.": 100 - n for n in (2, 30, 50, 70, 98)}
PRACTICE = {"The number is at most 85.": 85}
ATTENTION = {"The ball has no number.": 0, "The number is a whole number.": 100}
"""Hypotheses with what the person answers, in percent."""


def written(file: Path, rows: Iterable[Mapping[str, object]]) -> Path:
    file.write_text("\n".join(json.dumps(dict(row)) for row in rows), encoding="utf-8")
    return file


def bands(answers: Mapping[str, int], purpose: str) -> list[dict[str, object]]:
    return [
        {
            "premise": PREMISE,
            "hypothesis": text,
            "low": max(0, percent - 10) / 100,
            "high": min(100, percent + 10) / 100,
            "purpose": purpose,
        }
        for text, percent in answers.items()
    ]


@pytest.fixture
def config(tmp_path: Path, study_section: str) -> Path:
    qualification = f'[[annotation.projects]]\ntitle = "qualification {uuid4().hex[:8]}"\npurpose = "qualification"'
    return settings_file(tmp_path, f"{study_section}check_rate = 0.1", qualification, "[agreement]\ndraws = 100")


@pytest.fixture
def page(studio_server: StudioServer) -> Iterator[Page]:
    """A browser in which nobody is logged in."""
    with browsing(studio_server.url) as context:
        yield context.new_page()


def project(config: Path, purpose: str) -> int:
    return int(value(config, f"SELECT number FROM studio_projects WHERE purpose = '{purpose}'"))


def by_keyboard(page: Page, percent: int) -> None:
    page.locator(SLIDER).focus()
    for key in ("Home", *["PageUp"] * (percent // 10), *["ArrowRight"] * (percent % 10 * 10)):
        page.keyboard.press(key)


def by_mouse(page: Page, percent: int) -> None:
    box = page.locator(SLIDER).bounding_box()
    assert box is not None
    inner = box["width"] - 26  # the thumb's centre runs from 13 px to 13 px before the end
    # Like a real mouse on a whole pixel: the middle of an untouched slider lies between two, and does nothing.
    page.mouse.click(round(box["x"] + 13 + inner * percent / 100), box["y"] + box["height"] / 2)


def look_at_the_answer(page: Page) -> None:
    answer = page.get_by_text("The answer is between 75% and 95%.")
    assert not answer.is_visible()
    page.get_by_text("Judge first, then open this").click()
    answer.wait_for()
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "practice.png")
    fold, text = page.evaluate(DARK)
    assert fold == text, "the fold does not follow the dark scheme"


def judge_all(page: Page, project: int, answers: Mapping[str, int]) -> int:
    """Judge whatever the project shows, by keyboard and mouse in turn, until there is nothing left."""
    open_stream(page, project)
    escape(page, page.get_by_text("There is no right answer"))
    done = 0
    while page.locator(HYPOTHESIS).count():
        text = page.locator(HYPOTHESIS).inner_text()
        (by_mouse if done % 2 else by_keyboard)(page, answers[text])
        if text in PRACTICE:
            look_at_the_answer(page)
        submit(page)
        done += 1
        page.wait_for_function(NEXT, arg=[HYPOTHESIS, text])
    return done


def check_payment(config: Path, output: Path, who: str, n_judgments: int, n_checks: int) -> None:
    today = datetime.now(UTC).date()
    with pytest.raises(InputError, match="is in the future"):
        annotators_pay(f"{today}", f"{today + timedelta(days=1)}", output=output, rate_per_judgment=0.1, config=config)
    # Until this moment, by which everything was submitted and pulled.
    period = (f"{today - timedelta(days=1)}", datetime.now(UTC).isoformat())
    annotators_pay(*period, output=output, rate_per_judgment=0.1, config=config)
    (paid,) = csv.DictReader(output.open())
    assert (paid["annotator"], paid["judgments"], paid["amount"]) == (who, f"{n_judgments}", f"{n_judgments / 10:.2f}")
    assert (paid["checks"], paid["checks_passed"]) == (f"{n_checks}", f"{n_checks}")


@pytest.mark.slow
def test_a_person_signs_up_qualifies_judges_is_paid_and_is_on_the_managers_page(
    config: Path, page: Page, studio_server: StudioServer, tmp_path: Path
) -> None:
    study = [{"premise": PREMISE, "hypothesis": text} for text in STUDY]
    import_propositions(written(tmp_path / "study.jsonl", study), config=config)
    checks = [*bands(QUALIFICATION, "qualification"), *bands(PRACTICE, "practice"), *bands(ATTENTION, "attention")]
    import_checks(written(tmp_path / "checks.jsonl", checks), config=config)
    push(config)

    invitation = annotators_invite(config=config)
    email = f"{uuid4().hex[:8]}@example.org"
    page.goto(invitation.link)
    page.fill("#email", email)
    page.fill("#password", "a-long-password-1")
    page.click("button[type=submit]")
    page.wait_for_url(lambda url: "signup" not in url)
    who = pseudonym(annotator_id("label-studio", email))
    first = QUALIFICATION | PRACTICE
    assert judge_all(page, project(config, "qualification"), first) == len(first)
    pull(config)
    with pytest.raises(InputError, match=f"{who} has not qualified yet"):
        annotators_invite(study=who, config=config)
    annotators_review(config=config)
    on = annotators_invite(study=who, config=config)
    assert not on.secret
    answers = STUDY | ATTENTION
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    assert judge_all(page, project(config, "study"), answers) == len(answers)
    page.screenshot(path=SCREENSHOTS / "study_done.png")
    assert pull(config).counts["new judgments"] == len(answers)
    annotators_review(config=config)
    agree(config)

    mine = f"annotator_id = '{annotator_id('label-studio', email)}'"
    judged = rows(
        config,
        "SELECT hypothesis, probability, interface, scale FROM judgments JOIN propositions USING (proposition_id) "
        f"WHERE {mine}",
    )
    expected = STUDY | ATTENTION | QUALIFICATION | PRACTICE
    assert {row["hypothesis"]: row["probability"] for row in judged} == pytest.approx(
        {text: percent / 100 for text, percent in expected.items()}, abs=0.002
    )
    assert {(row["interface"], row["scale"]) for row in judged} == {("slider", "0:100")}
    (quality,) = rows(config, f"SELECT * FROM annotator_quality WHERE {mine}")
    assert (quality["pseudonym"], quality["status"]) == (who, "active")
    assert (quality["n_judgments"], quality["check_rate"]) == (len(STUDY), 1.0)
    assert email not in json.dumps(rows(config, "SELECT * FROM annotators"), default=str)
    (listed,) = [row for row in annotators_list(emails=True, config=config) if row["pseudonym"] == who]
    assert listed["email"] == email

    check_payment(config, tmp_path / "pay.csv", who, len(expected), len(QUALIFICATION | ATTENTION))
    shown = annotators_report(tmp_path / "people.html", config=config).read_text(encoding="utf-8")
    row = shown[shown.index(f'row">{who}') :].split("</tr>")[0]
    assert re.findall(r'<td class="n">(.*?)</td>', row)[0] == f"{len(STUDY)}"
    assert email not in shown
