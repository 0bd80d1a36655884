"""The pages that annotators see, one for each interface, and the names of their controls, by which they are read."""

from __future__ import annotations

import re
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import NamedTuple
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from annotation.interface.feedback import PANEL
from annotation.interface.instruction import instruction
from annotation.interface.readout import marks_css, values_css
from annotation.interface.scales import PROBABILITY, SCALES, UNLI_POSITION, marks, said
from warehouse.records import Interface

PREMISE = "premise"
HYPOTHESIS = "hypothesis"
CANNOT_JUDGE = "cannot_judge"
COMMENT = "comment"
PAGE = "page"
"""A hidden field that has the interface and the version of the page on which an annotation was made."""

CONTROLS = (CANNOT_JUDGE, COMMENT, PAGE)
NUMBERS = (PROBABILITY, UNLI_POSITION)

_PLACES = ("<Style/>", '<View className="odds-scale" visibleWhen="choice-unselected" whenTagName="cannot_judge"/>')
_MISSING: dict[Interface, str] = {
    "slider": 'Move the slider, or tick "I cannot judge this".',
    "number": 'Type a number, or tick "I cannot judge this".',
    "unli": 'Move the slider, or tick "I cannot judge this".',
}
_KEYS: dict[Interface, str] = {
    "slider": "Keys: Tab to the slider, arrows move it by 0.1, Page Up and Page Down by 10. n: cannot judge.",
    "number": "From 0 to 100, with decimals if you want. Keys: Tab to the field, then Tab to Submit. n: cannot judge.",
    "unli": "Keys: Tab to the slider, arrows move it a little, Page Up and Page Down a lot. n: cannot judge.",
}


class Page(NamedTuple):
    """A page: its labeling configuration for Label Studio, its instruction, and the version of both, a hash."""

    interface: Interface
    version: str
    xml: str
    instruction: str

    @property
    def mark(self) -> str:
        """What its annotations say of it: the interface and the version."""
        return f"{self.interface} {self.version}"


@cache
def page_of(interface: Interface, *, feedback: bool = False) -> Page:
    """Return the page of an interface; with `feedback`, that of a qualification project, which tells answers."""
    unversioned, text = _xml(interface), instruction(interface)
    if feedback:
        unversioned = f"{unversioned.removesuffix('</View>')}{PANEL}</View>"
    version = sha256(f"{unversioned}\n{text}".encode()).hexdigest()[:8]
    unmarked = f'name="{PAGE}" toName="{HYPOTHESIS}" value=""'
    xml = unversioned.replace(unmarked, f'{unmarked[:-1]}{interface} {version}"')
    return Page(interface, version, xml, text)


def mark_in(xml: str) -> str | None:
    """Return what a page in Label Studio writes into its annotations about itself; None if nothing."""
    try:
        found = ElementTree.fromstring(xml).find(f".//TextArea[@name='{PAGE}']")
    except ElementTree.ParseError:
        return None
    return None if found is None else found.get("value")


def read_mark(mark: str | None) -> tuple[Interface, str] | None:
    """Return the interface and the version that a mark tells, or None if it is no mark."""
    interface, _, version = (mark or "").partition(" ")
    for known in SCALES:
        if known == interface and re.fullmatch("[0-9a-f]{8}", version):
            return known, version
    return None


def _xml(interface: Interface) -> str:
    folder = files("annotation.interface")
    xml = folder.joinpath("page.xml").read_text(encoding="utf-8").strip()
    css = folder.joinpath("page.css").read_text(encoding="utf-8").strip()
    styles = "\n".join(part for part in (css, marks_css(marks(interface)), values_css(said(interface))) if part)
    style, scale = _PLACES
    xml = xml.replace(style, f"<Style>\n{styles}\n  </Style>")
    return xml.replace(scale, f"{scale.removesuffix('/>')}>\n{_scale(interface)}\n    </View>")


def _scale(interface: Interface) -> str:
    """Return the control for the probability, and what stands under it."""
    scale = SCALES[interface]
    number = (
        f'<Number name="{scale.control}" toName="{HYPOTHESIS}" min="0" max="{scale.most:g}" step="{scale.step:g}" '
        f'required="true" requiredMessage={quoteattr(_MISSING[interface])}'
    )
    lines = [f"{number}/>" if interface == "number" else f'{number} slider="true"/>']
    if words := [f'<Header value={quoteattr(mark.words)} size="5"/>' for mark in marks(interface)]:
        lines.append(f'<View className="odds-marks">{"".join(words)}</View>')
    lines.append(f'<View className="odds-keys"><Header value={quoteattr(_KEYS[interface])} size="5"/></View>')
    kind = {"slider": "odds-percent", "number": "odds-typed", "unli": "odds-unli"}[interface]
    inner = "\n".join(f"        {line}" for line in lines)
    return f'      <View className="{kind}">\n{inner}\n      </View>'
