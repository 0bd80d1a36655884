"""The page for annotators: what it says of the scale, of signing up, of keys and of changes holds in Label Studio."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest
from playwright.sync_api import Page, expect

from annotation.interface.readout import as_odds
from annotation.interface.scales import marks
from annotation.people.users import add_annotator
from annotation.studio.client import Studio
from annotation.sync.push import push
from tests.annotation.test_page import CANNOT_JUDGE, READOUT, SLIDER, is_answer, open_stream
from tests.annotation.test_sync import propositions
from tests.fixtures.browser import browsing, escape
from tests.fixtures.studio import Home, StudioServer, new_project
from tests.test_docs import ROOT
from warehouse.errors import InputError

TEXT = (ROOT / "docs" / "annotators.md").read_text(encoding="utf-8")
ACTIVE = """() => {
    const one = document.activeElement;
    return one.type === "range" ? "slider" : one.type === "checkbox" ? "box" : one.tagName === "TEXTAREA" ? "comment"
        : one.name === "submit" ? "Submit" : "";
}"""
"""What has the focus, as the page calls it."""


def test_the_scale_is_that_of_the_page() -> None:
    table = TEXT.split("| the scale | |")[1].split("\n\n")[0]
    told = {int(percent) / 100: words for percent, words in re.findall(r"\| (\d+)% \| (.+) \|", table)}
    assert list(told) == [mark.probability for mark in marks("slider")]
    for mark in marks("slider"):
        assert told[mark.probability].startswith(mark.words)
        if "about" in told[mark.probability]:
            assert told[mark.probability].endswith(as_odds(mark.probability))
    assert (as_odds(0.02), as_odds(0.002)) == ("about 1 in 50", "about 1 in 500")
    assert "2% and 0.2% are different answers, 1 in 50 and 1 in 500" in TEXT


def test_a_password_has_eight_characters(studio: Studio) -> None:
    with pytest.raises(InputError, match="refuses the annotator"):
        add_annotator(studio, f"{uuid4().hex[:8]}@example.org", "7-lette")
    assert add_annotator(studio, f"{uuid4().hex[:8]}@example.org", "8-letter")


@pytest.mark.slow
def test_the_way_to_answer_and_to_change_an_answer(studio: Studio, studio_server: StudioServer) -> None:
    project = new_project(studio, "annotators")
    push(studio, project, propositions())
    assert studio.project_settings(project, ["sampling"]) == {"sampling": "Uniform sampling"}  # a random order
    texts = {one.proposition_id: one.hypothesis for one in propositions()}
    email, home = f"{uuid4().hex[:8]}@example.org", Home(studio, project)
    add_annotator(studio, email, "8-letter")
    with browsing(studio_server.url) as context:
        page = context.new_page()
        page.goto("/user/login/")
        page.fill("#email", email)
        page.fill("#password", "8-letter")
        page.click("button[type=submit]")
        page.wait_for_url(lambda url: "login" not in url)
        _read_the_instruction(page, project)
        _use_the_keys(page)
        (before,) = home.pull().judgments
        assert before.comment == "n, no"

        page.goto(f"/projects/{project}/data")
        page.get_by_text(texts[before.proposition_id], exact=True).click()
        _move_to_the_end(page)
        with page.expect_response(lambda response: response.request.method == "PATCH"):
            page.get_by_test_id("bottombar-update-button").click()
        (after,) = home.pull().judgments
        assert (after.source_id, after.probability) == (before.source_id, 1.0)

        page.locator(".lsf-annotation-button").hover()
        page.locator(".lsf-annotation-button__trigger").click()
        page.get_by_text("Delete Annotation").click()
        with page.expect_response(lambda response: response.request.method == "DELETE"):
            page.get_by_role("button", name="Delete", exact=True).click()
        home.pull()
        assert home.live() == []


def _move_to_the_end(page: Page) -> None:
    """Change the answer on the slider; Label Studio takes a change in its first moment for what it had loaded."""
    update = page.get_by_test_id("bottombar-update-button")
    expect(page.locator(READOUT)).to_have_text("60")
    page.locator(SLIDER).focus()
    for _ in range(50):
        for key in ("Home", "End"):
            page.keyboard.press(key)
        expect(page.locator(READOUT)).to_have_text("100")
        if update.is_enabled():
            return
        page.wait_for_timeout(200)
    raise AssertionError("the button to update an answer stays disabled")


def _read_the_instruction(page: Page, project: int) -> None:
    instruction = page.get_by_text("There is no right answer")
    open_stream(page, project)
    instruction.wait_for()  # it opens before the first task
    escape(page, instruction)
    button = page.get_by_role("button", name="Instructions")
    button.click()
    instruction.wait_for()
    escape(page, instruction)
    page.set_viewport_size({"width": 400, "height": 800})
    expect(button).not_to_be_in_viewport()
    page.set_viewport_size({"width": 1280, "height": 800})


def _use_the_keys(page: Page) -> None:
    answers: list[str] = []
    page.on("request", lambda request: answers.append(request.method) if "/annotations" in request.url else None)
    seen = [""]
    for _ in range(60):
        page.keyboard.press("Tab")
        if (now := page.evaluate(ACTIVE)) != seen[-1]:
            seen.append(now)
        if now == "slider":
            page.keyboard.press("PageUp")
            page.keyboard.press("Control+Enter")  # does nothing here
        if now == "comment":
            page.keyboard.type("n, no")
            page.keyboard.press("Control+Enter")
        if now == "Submit":
            break
    assert [one for one in seen if one] == ["slider", "box", "comment", "Submit"]
    assert not page.locator(CANNOT_JUDGE).is_checked()
    assert page.locator(READOUT).inner_text() == "60"
    assert answers == []
    page.keyboard.press("Enter")
    page.wait_for_timeout(500)
    assert answers == []
    with page.expect_response(is_answer) as answer:
        page.keyboard.press("Space")
    assert answer.value.ok
