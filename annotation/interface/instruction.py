"""The instruction for annotators: one screen, shown before the first task, then a click away."""

from __future__ import annotations

from warehouse.records import Interface

_EXAMPLES = (
    ("The man is outdoors.", "98%", "bus stops are outdoors, with rare exceptions"),
    ("He is waiting for a bus.", "90%", "people at bus stops usually are"),
    ("It is raining.", "60%", "the raincoat suggests it, but he may only expect rain"),
    ("He is a teacher.", "3%", "nothing suggests it, and few people are"),
)
_RAREST = "He is the president of France."
_SMALLEST: dict[Interface, str] = {"slider": "0.1%", "number": "0.001%", "unli": "0.001%"}
_HOW: dict[Interface, str] = {
    "slider": "Click or drag the slider, or go to it with Tab and use the arrow keys (steps of 0.1) or Page Up and "
    "Page Down (steps of 10).",
    "number": "Type a number from 0 to 100, with decimals if you want: 0.5 is half a percent.",
    "unli": "Click or drag the slider, or go to it with Tab and use the arrow keys or Page Up and Page Down. Its left "
    "half is for everything below 50%, with much room for values near 0; the number above it says what you chose.",
}
_SUBMIT: dict[Interface, str] = {
    "slider": "while you are typing a comment or have gone to the slider with Tab",
    "number": "while you are typing",
    "unli": "while you are typing a comment or have gone to the slider with Tab",
}


_QUESTION = (
    "Assume that the <b>premise</b> is true. How likely is the <b>hypothesis</b>, given the premise? Use the whole "
    "scale and be as precise as you can: 0% is impossible, 50% an even chance, 100% certain; 2% and 0.2% are different "
    "answers."
)
_NO_RIGHT_ANSWER = (
    "There is no right answer; give your own estimate. Use common knowledge, but don't look anything up. Tick "
    "<b>I cannot judge this</b> (key n) if a text makes no sense, not if you are just unsure."
)


def instruction(interface: Interface) -> str:
    """Return the instruction of an interface, as HTML."""
    rarest = (_RAREST, _SMALLEST[interface], "next to impossible, but not 0%")
    examples = "<br>".join(f"&bull; {text} <b>{value}</b>: {why}." for text, value, why in (*_EXAMPLES, rarest))
    submit = f"Ctrl+Enter submits, except {_SUBMIT[interface]}; then go to Submit with Tab and press the space bar."
    shown = f"Examples. Premise: <i>A man in a raincoat stands at a bus stop.</i><br>{examples}"
    return "<br><br>".join((_QUESTION, shown, _NO_RIGHT_ANSWER, f"{_HOW[interface]} {submit}"))
