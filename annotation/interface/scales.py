"""The interfaces: what each asks for, and how its number becomes a probability."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from annotation.interface.readout import Mark, as_odds, percent
from warehouse.records import Interface
from warehouse.scales import SLIDER_MAX, probability_to_slider, slider_to_probability

PERCENT = "0:100"
UNLI = "unli"
PROBABILITY = "probability"
UNLI_POSITION = "unli_position"


class Scale(NamedTuple):
    """The number of an interface.

    Attributes:
        name: The scale as judgments record it.
        control: The name of the control, which tells in every annotation which scale its number is on.
        most: The number that means 1; 0 means 0.
        step: The distance between two numbers of the control.
    """

    name: str
    control: str
    most: float
    step: float

    def probability(self, number: float) -> float:
        """Return the probability that a number in [0, `most`] means."""
        if self.name == UNLI:
            return float(slider_to_probability(number))
        # 0.7 / 100 is 0.006999999999999999; twelve digits give the number that the page showed
        return round(number / self.most, 12)

    def number(self, probability: float) -> float:
        """Return the nearest number of the control to a probability."""
        exact = float(probability_to_slider(probability)) if self.name == UNLI else probability * self.most
        return self.on_step(exact)

    def on_step(self, number: float) -> float:
        """Return the nearest number that the control can give."""
        return round(round(number / self.step) * self.step, 9)


SCALES: Mapping[Interface, Scale] = {
    "slider": Scale(PERCENT, PROBABILITY, 100, 0.1),
    "number": Scale(PERCENT, PROBABILITY, 100, 0.001),
    "unli": Scale(UNLI, UNLI_POSITION, SLIDER_MAX, 20),
}
_WORDS = {0.0: "impossible", 0.1: "very unlikely", 0.25: "unlikely", 0.5: "even odds"}
_WORDS |= {0.75: "likely", 0.9: "very likely", 1.0: "certain"}
_UNLI_WORDS = {one: words for one, words in _WORDS.items() if one != 0.25}  # too close to 0.1 and 0.5 on this scale
_UNLI_WORDS |= {0.001: "1 in 1,000", 0.01: "1 in 100"}


def marks(interface: Interface) -> list[Mark]:
    """Return the marks under the slider of an interface, from left to right; a field to type into has none."""
    scale = SCALES[interface]
    words = {"slider": _WORDS, "unli": _UNLI_WORDS, "number": {}}[interface]
    return [Mark(scale.number(one) / scale.most, one, words[one]) for one in sorted(words)]


def said(interface: Interface) -> dict[str, str]:
    """Return what the page sets for each value of the slider: the odds and, on the UNLI scale, the percentage."""
    scale = SCALES[interface]
    if interface == "number":
        return {}
    numbers = [scale.on_step(place * scale.step) for place in range(round(scale.most / scale.step) + 1)]
    found = {}
    for number in numbers:
        probability = scale.probability(number)
        odds = as_odds(probability)
        sets = f'--said: "{odds}";' if odds else ""
        if interface == "unli":
            sets += f' --percent: "{percent(probability)}";'
        found[f"{number:g}"] = sets.strip()
    return found
