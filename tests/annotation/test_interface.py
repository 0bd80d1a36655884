"""The pages: their controls, what they say of a number, and their versions."""

from __future__ import annotations

import re
from typing import get_args
from xml.etree import ElementTree

import numpy as np
import pytest

from annotation.interface import page as pages
from annotation.interface.instruction import instruction
from annotation.interface.page import CANNOT_JUDGE, CONTROLS, HYPOTHESIS, PREMISE, mark_in, page_of, read_mark
from annotation.interface.readout import as_odds, percent
from annotation.interface.scales import SCALES, marks, said
from warehouse.records import Interface
from warehouse.scales import slider_to_probability

INTERFACES: tuple[Interface, ...] = get_args(Interface)


@pytest.mark.parametrize("feedback", [False, True])
@pytest.mark.parametrize("interface", INTERFACES)
def test_the_page_is_one_that_judgments_can_be_read_from(interface: Interface, feedback: bool) -> None:
    page, scale = page_of(interface, feedback=feedback), SCALES[interface]
    named = {each.attrib["name"]: each for each in ElementTree.fromstring(page.xml).iter() if "name" in each.attrib}
    controls = dict(zip(CONTROLS, ("Choices", "TextArea", "TextArea"), strict=True)) | {scale.control: "Number"}
    assert {name: each.tag for name, each in named.items()} == {PREMISE: "Text", HYPOTHESIS: "Text", **controls}
    assert [named[name].get("value") for name in (PREMISE, HYPOTHESIS)] == ["$premise", "$hypothesis"]
    assert {named[name].get("toName") for name in controls} == {HYPOTHESIS}
    assert [choice.get("alias") for choice in named[CANNOT_JUDGE].iter("Choice")] == [CANNOT_JUDGE]
    number = named[scale.control]
    assert [float(number.attrib[name]) for name in ("min", "max", "step")] == [0, scale.most, scale.step]
    assert (number.get("slider") == "true") == (interface != "number")
    # An untouched slider would be saved as its default.
    assert number.get("required") == "true"
    assert "defaultValue" not in number.attrib
    assert mark_in(page.xml) == page.mark
    assert read_mark(page.mark) == (interface, page.version)


def test_another_page_or_instruction_is_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {page_of(interface).version for interface in INTERFACES}
    assert len(versions) == 3
    before = page_of("slider")
    for name, changed in (("_xml", pages._xml), ("instruction", instruction)):
        with monkeypatch.context() as patch:
            patch.setattr(pages, name, lambda interface, real=changed: real(interface).replace("likely", "probable"))
            page_of.cache_clear()
            assert page_of("slider").version != before.version
        page_of.cache_clear()
    assert page_of("slider") == before


def test_what_is_no_mark_is_not_read() -> None:
    for mark in (None, "", "slider", "slider 12", "knob 12345678", "slider 1234567g", "slider 12345678 x"):
        assert read_mark(mark) is None
    assert mark_in("<View/>") is mark_in("no page") is None


def test_numbers_mean_what_the_scales_say() -> None:
    assert SCALES["slider"].probability(0.7) == 0.007
    assert SCALES["number"].probability(0.001) == 0.00001
    vectors = {0: 0, 1000: 5.83828e-6, 2500: 5.52473e-4, 4000: 0.0474256, 5000: 0.5, 6000: 0.607838, 10000: 1}
    for position, probability in vectors.items():
        assert SCALES["unli"].probability(position) == pytest.approx(probability, rel=1e-5)
    for interface in INTERFACES:
        scale = SCALES[interface]
        for number in np.arange(0, scale.most + scale.step / 2, scale.most / 500):
            on_step = scale.on_step(float(number))
            assert scale.number(scale.probability(on_step)) == pytest.approx(on_step, abs=1e-6)


@pytest.mark.parametrize(
    ("probability", "shown", "odds"),
    [
        (0.0, "0%", ""),
        (0.000001, "below 0.001%", "less than 1 in 100,000"),
        (0.0028, "0.28%", "about 1 in 360"),
        (0.02, "2%", "about 1 in 50"),
        (0.047, "4.7%", "about 1 in 21"),
        (0.25, "25%", "about 1 in 4"),
        (1 / 3, "33%", "about 1 in 3"),
        (0.5, "50%", "about 1 in 2"),
        (0.608, "61%", "about 3 in 5"),
        (0.75, "75%", "about 3 in 4"),
        (0.95, "95%", "about 19 in 20"),
        (0.999, "99.9%", "about 999 in 1,000"),
        (1.0, "100%", ""),
    ],
)
def test_a_probability_is_said_in_percent_and_as_odds(probability: float, shown: str, odds: str) -> None:
    assert percent(probability) == shown
    assert as_odds(probability) == odds


def test_the_odds_are_near_the_probability() -> None:
    for probability in np.linspace(0.0001, 0.9999, 3001):
        found = re.fullmatch(r"about ([\d,]+) in ([\d,]+)", as_odds(probability))
        assert found is not None
        many, of = (int(part.replace(",", "")) for part in found.groups())
        assert abs(many / of - probability) <= 0.1 * min(probability, 1 - probability), probability


def test_every_position_of_a_slider_says_what_it_means() -> None:
    positions = {f"{number:g}" for number in np.round(np.arange(1001) * 0.1, 1)}
    assert set(said("slider")) == positions
    assert set(said("unli")) == {str(number) for number in range(0, 10_001, 20)}
    for value, sets in said("unli").items():
        assert f'--percent: "{percent(float(slider_to_probability(int(value))))}"' in sets
    assert '[value="25.2"]' in page_of("slider").xml
    assert said("number") == {}


def test_the_marks_lie_where_their_probabilities_are() -> None:
    assert [mark.words for mark in marks("slider")] == [
        "impossible",
        "very unlikely",
        "unlikely",
        "even odds",
        "likely",
        "very likely",
        "certain",
    ]
    assert [mark.place for mark in marks("slider")] == [0, 0.1, 0.25, 0.5, 0.75, 0.9, 1]
    for mark in marks("unli"):
        assert slider_to_probability(10_000 * mark.place) == pytest.approx(mark.probability, rel=0.05)


@pytest.mark.parametrize("interface", INTERFACES)
def test_the_instruction_is_short_and_has_five_examples(interface: Interface) -> None:
    text = re.sub("<[^>]+>", " ", page_of(interface).instruction)
    assert page_of(interface).instruction.count("&bull;") == 5
    assert len(text) < 1500, "more than one screen"
