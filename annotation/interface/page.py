"""The page that annotators see: its XML and the names that judgments are read by."""

from __future__ import annotations

from importlib.resources import files
from xml.etree import ElementTree

from warehouse.errors import InputError

PREMISE = "premise"
HYPOTHESIS = "hypothesis"
PROBABILITY = "probability"
CANNOT_JUDGE = "cannot_judge"
COMMENT = "comment"
SCALE = 100.0
"""The slider's upper end: a judgment is the slider's number divided by it."""

CONTROLS = {PROBABILITY: "Number", CANNOT_JUDGE: "Choices", COMMENT: "TextArea"}
OBJECTS = {PREMISE: "Text", HYPOTHESIS: "Text"}

INSTRUCTION = """
Take the <b>premise</b> as true. Then say how likely the <b>hypothesis</b> is, given the premise.<br><br>
Use the whole scale and as fine a value as you can: 0% is impossible, 50% an even chance, 100% certain; 2% and 0.2%
are different answers. Click or drag the slider. Or reach it with Tab: the arrow keys then move it by 0.1, Page Up and
Page Down by 10.<br><br>
There is no right answer; give your own estimate. Use what everybody knows about the world, but look nothing up. Tick
<b>I cannot judge this</b> (key n) where a text makes no sense, not where you are merely unsure.<br><br>
Ctrl+Enter submits, except while you type a comment or have reached the slider with Tab: there, Tab leads to Submit.
""".strip()


def interface_xml() -> str:
    """The labeling configuration of the project, ready for Label Studio."""
    xml = files("annotation.interface").joinpath("page.xml").read_text(encoding="utf-8").strip()
    validate_interface(xml)
    return xml


def validate_interface(xml: str) -> None:
    """Check that judgments can be read from annotations made on this page.

    Every control that is read must be there with its tag, over a shown object; the slider must run from 0 to 100, be
    required and have no default, since an untouched slider would be saved as its default. Raises `InputError`.
    """
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise InputError(f"the interface is not XML: {error}") from error
    named = {element.attrib["name"]: element for element in root.iter() if "name" in element.attrib}
    for name, tag in (OBJECTS | CONTROLS).items():
        if name not in named or named[name].tag != tag:
            raise InputError(f'the interface lacks <{tag} name="{name}">')
    for name in OBJECTS:
        if named[name].get("value") != f"${name}":
            raise InputError(f'the interface does not show ${name} in <{named[name].tag} name="{name}">')
    for name, tag in CONTROLS.items():
        if named[name].get("toName") not in OBJECTS:
            raise InputError(f'the interface binds <{tag} name="{name}"> to no text that it shows')
    _validate_slider(named[PROBABILITY])
    choices = {choice.get("alias", choice.get("value")) for choice in named[CANNOT_JUDGE].iter("Choice")}
    if choices != {CANNOT_JUDGE}:
        raise InputError(f'the interface must offer exactly the choice "{CANNOT_JUDGE}" in "{CANNOT_JUDGE}"')


def _validate_slider(slider: ElementTree.Element) -> None:
    if (slider.get("min"), slider.get("max")) != ("0", f"{SCALE:.0f}"):
        raise InputError(f"the interface's slider must run from 0 to {SCALE:.0f}")
    if slider.get("required") != "true" or "defaultValue" in slider.attrib:
        raise InputError("the interface's slider must be required and have no default value")
