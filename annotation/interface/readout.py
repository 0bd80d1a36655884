"""How the page says a probability: in percent, as odds, and as marks under the slider.

Label Studio shows the slider's raw number. Rules for the values of the slider say the rest, since React keeps the
attribute `value` of the slider equal to its value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from math import floor, log10
from typing import NamedTuple

LARGEST_DENOMINATOR = 10
RARE = 0.2


SMALLEST = 1e-5
"""Nobody can tell probabilities below this apart; the page says only that they are smaller."""


class Mark(NamedTuple):
    """A mark under the slider: where it is, as a share of the slider, the probability it means, and its words."""

    place: float
    probability: float
    words: str


def percent(probability: float) -> str:
    """Return a probability in percent, finer near 0 and 1: 61%, 4.7%, 0.05%, 99.3%."""
    value = 100 * probability
    if 0 < probability < SMALLEST:
        return f"below {100 * SMALLEST:g}%"
    rest = min(value, 100 - value)
    digits = 0 if rest >= 10 or rest == 0 else 1 if rest >= 1 else 1 - floor(log10(rest))
    return f"{round(value, digits):g}%"


def as_odds(probability: float) -> str:
    """Return a probability as odds in words, such as "about 1 in 4"; "" for 0 and 1.

    Between 0.2 and 0.8 it is the nearest fraction with a denominator up to 10; outside, 1 in n, or n - 1 in n.
    """
    if probability <= 0 or probability >= 1:
        return ""
    if probability < SMALLEST:
        return f"less than 1 in {round(1 / SMALLEST):,}"
    if RARE <= probability <= 1 - RARE:
        nearest = Fraction(probability).limit_denominator(LARGEST_DENOMINATOR)
        return f"about {nearest.numerator} in {nearest.denominator}"
    exact = 1 / min(probability, 1 - probability)
    size = 10 ** max(floor(log10(exact)) - 1, 0)  # two digits
    number = round(exact / size) * size
    return f"about {1 if probability < 0.5 else number - 1:,} in {number:,}"


def marks_css(marks: Iterable[Mark]) -> str:
    """Return the rules that place the marks, in their order, and put their percentages above their words."""
    return "\n".join(
        f".odds-marks h4:nth-child({number}) {{ left: {100 * mark.place:.2f}%; }} "
        f'.odds-marks h4:nth-child({number})::before {{ content: "{percent(mark.probability)}"; }}'
        for number, mark in enumerate(marks, start=1)
    )


def values_css(said: Mapping[str, str]) -> str:
    """Return the rules for the values of the slider: for each value, what it sets, such as `--said: "about 1 in 4"`.

    Values that set the same share a rule.
    """
    together: dict[str, list[str]] = {}
    for value, sets in said.items():
        together.setdefault(sets, []).append(f'[value="{value}"]')
    return "\n".join(
        f".odds-scale .lsf-number:has({','.join(values)}) {{ {sets} }}" for sets, values in together.items() if sets
    )
