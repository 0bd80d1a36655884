"""JSON among other text. What decides is the standard library's strict decoder, on the object alone."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.llm.loose_json import objects, without_surrogates

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
HALF = st.characters(categories=["Cs"])


def encodable(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


@given(st.text() | st.lists(HALF | st.characters()).map("".join))
def test_sound_text_can_be_written_and_keeps_what_could_be(text: str) -> None:
    assert encodable(without_surrogates(text))
    assert encodable(text) == (without_surrogates(text) == text)
    assert len(without_surrogates(text)) == len(text)
    assert all(new in (old, "\ufffd") for old, new in zip(text, without_surrogates(text), strict=True))


@given(st.dictionaries(st.text() | HALF, JSON | st.lists(HALF), max_size=3))
def test_what_is_decoded_can_be_written(value: dict[str, object]) -> None:
    (found,) = objects(json.dumps(value))
    assert encodable(found)
    assert found == value or not encodable(value)


@pytest.mark.parametrize(
    ("escaped", "read"), [("\\ud83d", "\ufffd"), ("\\uD83D\\uDE00", "\U0001f600"), ("\\\\ud83d", "\\ud83d")]
)
def test_an_escape_that_is_half_a_character_is_replaced(escaped: str, read: str) -> None:
    assert objects(f'{{"a": ["{escaped}", {{"{escaped}": 1}}]}}') == [{"a": [read, {read: 1}]}]


@given(st.dictionaries(st.text(), JSON, min_size=1, max_size=3), st.data())
def test_nothing_is_found_inside_of_an_object_that_was_cut_off(value: dict[str, object], data: st.DataObject) -> None:
    text = json.dumps(value)
    end = data.draw(st.integers(1, len(text) - 1))
    assert objects(text[:end]) == []
    assert objects('{"whole": 1} ' + text[:end]) == []


@given(st.dictionaries(st.text(), JSON, min_size=1, max_size=3), st.integers(0, 9))
def test_a_comma_too_many_is_forgiven_and_strings_stay_as_they_are(value: dict[str, object], spaces: int) -> None:
    one_too_many = json.dumps({**value, "last": ', } ,] "'})[:-1] + "," + " " * spaces + "}"
    assert objects(f"Of {{a, b}}: {one_too_many} and {one_too_many}") == [{**value, "last": ', } ,] "'}] * 2
