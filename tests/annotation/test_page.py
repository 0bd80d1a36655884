"""The annotation page as an annotator meets it, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Response
from playwright.sync_api import TimeoutError as TooLate

from annotation.interface.page import page_of
from annotation.interface.scales import marks
from annotation.people.users import add_annotator
from annotation.studio.client import Studio
from annotation.sync.push import push
from tests.fixtures.browser import browsing, escape
from tests.fixtures.studio import Home, StudioServer, new_project
from warehouse.records import Interface, PropositionText, proposition_id
from warehouse.scales import slider_to_probability

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
EMAIL, PASSWORD = "page@example.org", "a-long-password-1"
PREMISE = (
    "A woman in a red coat is waiting at a bus stop in the rain. She has looked at her watch three times, "
    "and the last bus was due ten minutes ago."
)
HYPOTHESES = ("The bus is late.", "<b>She</b> is &amp; was annoyed.", "It is Monday.", "The coat is wet.")
SLIDER, READOUT, CANNOT_JUDGE = ".odds input[type=range]", ".odds output", ".odds input[type=checkbox]"


@pytest.fixture(scope="module")
def page(studio_server: StudioServer) -> Iterator[Page]:
    """A browser that is logged in as an annotator."""
    with browsing(studio_server.url) as context:
        add_annotator(Studio(studio_server.url, studio_server.token), EMAIL, PASSWORD)
        logged_in = context.new_page()
        logged_in.goto("/user/login/")
        logged_in.fill("#email", EMAIL)
        logged_in.fill("#password", PASSWORD)
        logged_in.click("button[type=submit]")
        logged_in.wait_for_url(lambda url: "login" not in url)
        yield logged_in


@pytest.fixture
def project(studio: Studio, page: Page) -> int:
    """A project with a few tasks, opened for labeling, its instructions read."""
    return opened(studio, page, "slider")


def opened(studio: Studio, page: Page, interface: Interface, *, read: bool = True) -> int:
    """Open a project with a few tasks for labeling, and close its instruction unless it is not to be `read` yet."""
    made = new_project(studio, "page", interface=interface)
    # One after the other, so that the test knows which proposition it sees.
    studio.update_project(made, {"sampling": "Sequential sampling"})
    texts = [
        PropositionText(proposition_id=proposition_id(PREMISE, text), premise=PREMISE, hypothesis=text)
        for text in HYPOTHESES
    ]
    push(studio, made, texts)
    page.set_viewport_size({"width": 1280, "height": 800})
    open_stream(page, made)
    instructions = page.get_by_text("There is no right answer")
    instructions.wait_for()
    if not read:
        return made
    escape(page, instructions)
    return made


def open_stream(page: Page, project: int) -> None:
    """The way that annotators are told: the project's page, then its button, which follows the sampling."""
    page.goto(f"/projects/{project}/data")
    page.get_by_role("button", name="Label All Tasks").click()
    page.wait_for_selector(".odds-scale input")


def is_answer(response: Response) -> bool:
    return "/annotations" in response.url and response.request.method == "POST"


def submit(page: Page) -> list[dict[str, Any]]:
    """Press Submit, and give the result that the page sends."""

    with page.expect_response(is_answer) as answer:
        page.get_by_role("button", name="Submit current annotation").click()
    assert answer.value.ok
    result: list[dict[str, Any]] = answer.value.json()["result"]
    return result


def close_message(page: Page, text: str) -> None:
    """Wait for Label Studio's message and press OK until it is gone: on a slow machine its opening swallows a click."""
    message = page.get_by_text(text)
    message.wait_for()
    for _ in range(4):
        try:
            page.get_by_role("button", name="OK", exact=True).click(timeout=3_000)
            message.wait_for(state="hidden", timeout=3_000)
        except TooLate:
            continue
        break
    message.wait_for(state="hidden")


def test_it_looks_right(page: Page, project: int) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for width, height in ((1440, 900), (1280, 800)):
        page.set_viewport_size({"width": width, "height": height})
        slider, readout = page.locator(SLIDER).bounding_box(), page.locator(READOUT).bounding_box()
        assert slider is not None
        assert readout is not None
        assert slider["width"] >= 600
        assert slider["x"] + slider["width"] / 2 == pytest.approx(width / 2, abs=20), "the column is in the middle"
        for part in (".odds-premise", ".odds-hypothesis", ".odds-question", SLIDER, READOUT, ".odds textarea"):
            box = page.locator(part).bounding_box()
            assert box is not None
            assert box["y"] >= 0
            assert box["y"] + box["height"] <= height - 50, f"{part} is below the fold at {width}x{height}"
    assert not page.get_by_text("Labeled regions will appear here").is_visible()
    page.screenshot(path=SCREENSHOTS / "annotation_untouched.png")
    page.locator(SLIDER).focus()
    for key in ["PageUp"] * 3 + ["ArrowRight"] * 7:
        page.keyboard.press(key)
    page.screenshot(path=SCREENSHOTS / "annotation.png")
    font = page.locator(READOUT).evaluate("element => parseFloat(getComputedStyle(element).fontSize)")
    assert font >= 32
    assert (SCREENSHOTS / "annotation.png").stat().st_size > 10_000


def test_texts_are_shown_as_they_are(page: Page, project: int) -> None:
    page.locator(SLIDER).focus()
    page.keyboard.press("End")
    submit(page)
    page.get_by_text(HYPOTHESES[1], exact=True).wait_for()
    assert page.locator(".odds-hypothesis .lsf-richtext__container").inner_text() == HYPOTHESES[1]
    assert page.locator(".odds-premise .lsf-richtext__container").inner_text() == PREMISE


def test_the_keyboard_moves_the_value_and_submitting_stores_it(page: Page, project: int, studio: Studio) -> None:
    slider, readout = page.locator(SLIDER), page.locator(READOUT)
    assert readout.inner_text() == ""
    slider.focus()
    shown = []
    for key in ("Home", "ArrowRight", "PageUp", "End", "ArrowLeft"):
        page.keyboard.press(key)
        shown.append(readout.inner_text())
    assert shown == ["0", "0.1", "10.1", "100", "99.9"]
    page.fill(".odds textarea", "nearly sure")
    result = submit(page)
    assert [item["value"] for item in result if item["from_name"] == "probability"] == [{"number": 99.9}]
    (judgment,) = Home(studio, project).pull().judgments
    assert judgment.probability == 0.999
    assert judgment.comment == "nearly sure"
    page_seen = page_of("slider")
    assert (judgment.interface, judgment.interface_version) == ("slider", page_seen.version)
    assert judgment.proposition_id == proposition_id(PREMISE, HYPOTHESES[0])
    assert judgment.lead_time_s is not None


def value_at(page: Page, x: int) -> str:
    """What the readout says after a click on the slider at this pixel."""
    box = page.locator(SLIDER).bounding_box()
    assert box is not None
    page.mouse.click(x, box["y"] + box["height"] / 2)
    return page.locator(READOUT).inner_text()


@pytest.mark.parametrize("width", [1280, 400])
def test_every_click_sets_the_value_that_is_under_it(page: Page, project: int, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    box = page.locator(SLIDER).bounding_box()
    assert box is not None
    # The centre of the thumb, 26 px wide, runs from 13 px to 13 px before the end.
    start, length = box["x"] + 13, box["width"] - 26
    middle = round(start + length / 2)
    for x in (middle - 9, middle - 1, middle, middle + 1, middle + 9):
        assert page.locator(READOUT).inner_text() == ""
        shown = value_at(page, x)
        assert shown, f"a click {x - middle} px from the middle of an untouched slider does nothing"
        assert float(shown) == pytest.approx(100 * (x - start) / length, abs=0.6 * 100 / length + 0.05)
        page.wait_for_function("document.activeElement === document.body")
        page.keyboard.press("Control+z")
    for x in (
        round(start),
        round(start + 0.3 * length),
        round(start + 0.3 * length) + 4,
        middle,
        round(start + length),
    ):
        assert float(value_at(page, x)) == pytest.approx(100 * (x - start) / length, abs=0.6 * 100 / length + 0.05)
    value_at(page, middle + 200 * width // 1280)
    assert value_at(page, middle) == "50"


def test_a_drag_moves_the_value(page: Page, project: int) -> None:
    box = page.locator(SLIDER).bounding_box()
    assert box is not None
    value_at(page, round(box["x"] + 300))
    page.mouse.down()
    page.mouse.move(box["x"] + 400, box["y"] + 20)
    page.mouse.move(box["x"] + box["width"] + 50, box["y"] + 20)
    page.mouse.up()
    assert page.locator(READOUT).inner_text() == "100"


def test_the_shortcuts_work_after_a_click_on_the_slider(page: Page, project: int, studio: Studio) -> None:
    value_at(page, 500)
    page.wait_for_function("document.activeElement === document.body")
    page.keyboard.press("n")
    page.wait_for_selector(f"{CANNOT_JUDGE}:checked")
    page.keyboard.press("n")
    with page.expect_response(is_answer) as answer:
        page.keyboard.press("Control+Enter")
    assert answer.value.ok
    page.check(CANNOT_JUDGE)
    with page.expect_response(is_answer) as answer:
        page.keyboard.press("Control+Enter")
    assert answer.value.ok
    assert studio.counts(project).annotations == 2


def shown_texts(page: Page, project: int, studio: Studio, premise: str, hypothesis: str) -> None:
    """Push a proposition of these texts and open it."""
    made = new_project(studio, "page")
    studio.update_project(made, {"show_instruction": False})
    one = PropositionText(proposition_id=proposition_id(premise, hypothesis), premise=premise, hypothesis=hypothesis)
    push(studio, made, [one])
    open_stream(page, made)


def test_texts_of_other_scripts_and_lengths_fit(page: Page, project: int, studio: Studio) -> None:
    arabic = "كانت امرأة تنتظر الحافلة تحت المطر."
    premise = f"{'word ' * 1400}\n\n{arabic}\n{'x' * 400}"
    shown_texts(page, project, studio, premise, arabic)
    directions = page.locator(".odds-text .lsf-richtext__line").evaluate_all(
        """lines => lines.map(line => {
            const range = document.createRange();
            range.selectNodeContents(line);
            const text = [...range.getClientRects()].at(-1), box = line.getBoundingClientRect();
            return text === undefined ? "" : box.right - text.right < text.left - box.left ? "right" : "left";
        })"""
    )
    assert directions == ["left", "", "right", "left", "right"]
    for width in (1280, 400):
        page.set_viewport_size({"width": width, "height": 800})
        text = page.locator(".odds-premise .lsf-richtext__container")
        assert text.evaluate("element => element.scrollWidth <= element.clientWidth"), "unbroken text is cut off"
        box = page.get_by_role("button", name="Submit current annotation").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["y"] + box["height"] <= 800
        page.screenshot(path=SCREENSHOTS / f"annotation_long_{width}.png")
    text.evaluate("element => element.scrollTo(0, 0)")
    page.locator(SLIDER).focus()
    # The scrolled text stands right before the slider in the order of the Tab key.
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("PageDown")
    page.wait_for_function("document.querySelector('.odds-premise .lsf-richtext__container').scrollTop > 100")


def said(page: Page, selector: str, pseudo: str) -> str:
    """The text that a rule of the page adds."""
    script = "([selector, pseudo]) => getComputedStyle(document.querySelector(selector), pseudo).content"
    found: str = page.evaluate(script, [selector, pseudo])
    return found.strip('"')


def test_the_slider_says_the_odds(page: Page, project: int) -> None:
    page.locator(SLIDER).focus()
    found = []
    for keys in (["Home"], ["PageUp"] * 2 + ["ArrowRight"] * 52, ["End"], ["ArrowLeft"]):
        for key in keys:
            page.keyboard.press(key)
        found.append((page.locator(READOUT).inner_text(), said(page, ".odds .lsf-number", "::before")))
    assert found == [("0", ""), ("25.2", "about 1 in 4"), ("100", ""), ("99.9", "about 999 in 1,000")]


def test_the_instruction_fits_one_screen_and_the_width_of_a_phone(page: Page, studio: Studio) -> None:
    opened(studio, page, "unli", read=False)
    for width, height in ((1280, 800), (400, 800)):
        page.set_viewport_size({"width": width, "height": height})
        box = page.locator('[class*="modal-ls__content"]').first.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        if width > 400:  # a phone scrolls
            assert box["y"] >= 0
            assert box["y"] + box["height"] <= height
        page.screenshot(path=SCREENSHOTS / f"annotation_instruction_{width}.png")
    page.keyboard.press("Escape")


def test_nothing_moves_when_an_answer_is_given_or_refused(page: Page, studio: Studio) -> None:
    for interface in ("slider", "unli"):
        opened(studio, page, interface)
        comment = page.locator(".odds textarea[placeholder]")
        before = comment.bounding_box()
        page.locator(SLIDER).focus()
        page.keyboard.press("PageUp")
        assert comment.bounding_box() == before
        page.check(CANNOT_JUDGE)
        assert comment.bounding_box() == before


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("interface", ["slider", "unli"])
def test_the_marks_stand_under_their_places_and_do_not_overlap(
    page: Page, studio: Studio, interface: Interface, width: int
) -> None:
    opened(studio, page, interface)
    page.set_viewport_size({"width": width, "height": 800})
    page.locator(".odds-marks").scroll_into_view_if_needed()
    boxes = page.locator(".odds-marks h4").evaluate_all(
        """all => all.map(one => {
            const range = document.createRange(); range.selectNodeContents(one);
            const own = one.getBoundingClientRect(), text = range.getBoundingClientRect();
            const words = getComputedStyle(one).fontSize === "0px" ? own : text;
            return {left: Math.min(own.left, words.left), right: Math.max(own.right, words.right), top: own.top,
                    bottom: own.bottom, middle: (own.left + own.right) / 2}; })"""
    )
    track = page.locator(SLIDER).bounding_box()
    assert track is not None
    for first, second in ((a, b) for i, a in enumerate(boxes) for b in boxes[i + 1 :]):
        apart = first["right"] <= second["left"] or first["bottom"] <= second["top"] or second["bottom"] <= first["top"]
        assert apart, f"two marks overlap at {width} px"
    for mark, box in list(zip(marks(interface), boxes, strict=True))[1:-1]:
        assert box["middle"] == pytest.approx(track["x"] + 13 + mark.place * (track["width"] - 26), abs=1.5)
    assert boxes[0]["left"] >= track["x"] - 1
    assert boxes[-1]["right"] <= track["x"] + track["width"] + 1
    page.screenshot(path=SCREENSHOTS / f"annotation_{interface}_{width}.png")


def test_a_number_is_typed(page: Page, studio: Studio) -> None:
    made = opened(studio, page, "number")
    field = page.locator(".odds input[type=number]")
    button = page.get_by_role("button", name="Submit current annotation")
    assert button.is_disabled(), "there is no default"
    field.click()
    field.press_sequentially("150")
    field.press("Tab")
    button.click()
    close_message(page, "Value must be less than or equal to 100")
    # The closing message gives the focus back to Submit, and would take it away from the field while we type.
    page.wait_for_function("document.activeElement?.name === 'submit'")
    field.fill("")
    field.press_sequentially("0.25")
    assert field.input_value() == "0.25"
    page.screenshot(path=SCREENSHOTS / "annotation_number.png")
    submit(page)
    (judgment,) = Home(studio, made).pull().judgments
    assert (judgment.probability, judgment.interface, judgment.scale) == (0.0025, "number", "0:100")
    assert judgment.interface_version == page_of("number").version


def test_the_unli_slider_shows_probabilities(page: Page, studio: Studio) -> None:
    made = opened(studio, page, "unli")
    page.locator(SLIDER).focus()
    for key in ["Home"] + ["PageUp"] * 3 + ["ArrowRight"] * 2:
        page.keyboard.press(key)
    assert page.locator(READOUT).inner_text() == "3040"
    assert page.locator(READOUT).evaluate("element => getComputedStyle(element).fontSize") == "0px", "nobody sees it"
    assert said(page, ".odds output", "::after") == "0.28%"
    assert said(page, ".odds .lsf-number", "::before") == "about 1 in 360"
    submit(page)
    (judgment,) = Home(studio, made).pull().judgments
    assert judgment.probability == pytest.approx(float(slider_to_probability(3040)), abs=1e-12)
    assert (judgment.interface, judgment.scale) == ("unli", "unli")


@pytest.mark.slow
def test_an_answer_that_is_changed_later_keeps_its_page(page: Page, project: int, studio: Studio) -> None:
    value_at(page, 500)
    submit(page)
    home = Home(studio, project)
    (before,) = home.pull().judgments
    studio.update_project(project, {"label_config": page_of("number").xml})
    task = next(iter(studio.stamps(project))).id
    page.goto(f"/projects/{project}/data?task={task}")
    field = page.locator(".odds input[type=number]")
    # What is typed before the answer is shown, on a slow machine, is overwritten by it.
    page.wait_for_function("document.querySelector('.odds input[type=number]')?.value")
    field.fill("7")
    with page.expect_response(lambda response: response.request.method == "PATCH"):
        page.get_by_test_id("bottombar-update-button").click()
    (after,) = home.pull().judgments
    assert after.probability == 0.07
    assert (after.interface, after.interface_version) == (before.interface, before.interface_version)


def test_an_untouched_slider_cannot_be_submitted(page: Page, project: int, studio: Studio) -> None:
    button = page.get_by_role("button", name="Submit current annotation")
    assert button.is_disabled()
    page.fill(".odds textarea", "a comment alone is no judgment")
    page.locator(".odds textarea").press("Shift+Enter")
    button.click()
    close_message(page, 'Move the slider, or tick "I cannot judge this".')
    assert studio.counts(project).annotations == 0


def test_cannot_judge_needs_no_value(page: Page, project: int, studio: Studio) -> None:
    page.check(CANNOT_JUDGE)
    assert not page.locator(SLIDER).is_visible()
    page.screenshot(path=SCREENSHOTS / "annotation_cannot_judge.png")
    submit(page)
    (judgment,) = Home(studio, project).pull().judgments
    assert (judgment.cannot_judge, judgment.probability, judgment.raw_probability) == (True, None, None)


def test_a_value_under_cannot_judge_is_kept_apart(page: Page, project: int, studio: Studio) -> None:
    page.locator(SLIDER).focus()
    page.keyboard.press("Home")
    page.check(CANNOT_JUDGE)
    submit(page)
    (judgment,) = Home(studio, project).pull().judgments
    assert (judgment.cannot_judge, judgment.probability, judgment.raw_probability) == (True, None, 0.0)


def test_there_is_no_way_to_skip(page: Page, project: int) -> None:
    assert page.get_by_role("button", name="Skip").count() == 0
