"""The page that annotators see: its XML, and the names of its controls, by which judgments are read."""

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
Assume that the <b>premise</b> is true. How likely is the <b>hypothesis</b>, given the premise?<br><br>
Use the whole scale and be as precise as you can: 0% is impossible, 50% an even chance, 100% certain; 2% and 0.2% are
different answers. Click or drag the slider, or go to it with Tab and use the arrow keys (steps of 0.1) or Page Up and
Page Down (steps of 10).<br><br>
There is no right answer; give your own estimate. Use common knowledge, but don't look anything up. Tick <b>I cannot
judge this</b> (key n) if a text makes no sense, not if you are just unsure.<br><br>
Ctrl+Enter submits, except while you are typing a comment or have gone to the slider with Tab; then press Tab to go to
Submit.
""".strip()


def interface_xml() -> str:
    """Return the labeling configuration of the project for Label Studio."""
    xml = files("annotation.interface").joinpath("page.xml").read_text(encoding="utf-8").strip()
    validate_interface(xml)
    return xml


def validate_interface(xml: str) -> None:
    """Check that judgments can be read from annotations made on this page.

    Every control must be there with its tag, and refer to a text on the page. The slider must run from 0 to 100, be
    required and have no default, since an untouched slider would be saved as its default.

    Raises:
        InputError: the page is not like this.
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
            raise InputError(f'the interface binds <{tag} name="{name}"> to a text that it does not show')
    _validate_slider(named[PROBABILITY])
    choices = {choice.get("alias", choice.get("value")) for choice in named[CANNOT_JUDGE].iter("Choice")}
    if choices != {CANNOT_JUDGE}:
        raise InputError(f'the interface must offer exactly the choice "{CANNOT_JUDGE}" in "{CANNOT_JUDGE}"')


def _validate_slider(slider: ElementTree.Element) -> None:
    if (slider.get("min"), slider.get("max")) != ("0", f"{SCALE:.0f}"):
        raise InputError(f"the interface's slider must run from 0 to {SCALE:.0f}")
    if slider.get("required") != "true" or "defaultValue" in slider.attrib:
        raise InputError("the interface's slider must be required and have no default value")
