from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.sync.mapping import annotator_of, judgment_of, task_of
from warehouse.records import Drop, Judgment, PropositionText, annotator_id, judgment_id

UNIQUE = "51bdb308-9170-49a8-957a-01189b47cdec"


def number(value: Any) -> dict[str, Any]:
    return {"from_name": "probability", "to_name": "hypothesis", "type": "number", "value": {"number": value}}


def cannot_judge() -> dict[str, Any]:
    return {
        "from_name": "cannot_judge",
        "to_name": "hypothesis",
        "type": "choices",
        "value": {"choices": ["cannot_judge"]},
    }


def comment(*lines: str) -> dict[str, Any]:
    return {"from_name": "comment", "to_name": "hypothesis", "type": "textarea", "value": {"text": list(lines)}}


def annotation(*result: Any, **changes: Any) -> dict[str, Any]:
    """An annotation as Label Studio 1.23.2 exports it."""
    return {
        "id": 1,
        "completed_by": 1,
        "result": list(result),
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": "2026-11-23T14:51:45.414903Z",
        "updated_at": "2026-11-23T14:53:00.000001Z",
        "lead_time": 3.2,
        "unique_id": UNIQUE,
        "task": 1,
    } | changes


def read(*result: Any, **changes: Any) -> Judgment | Drop:
    return judgment_of(annotation(*result, **changes), "p1", "a1", "project")


def reason(*result: Any, **changes: Any) -> str:
    dropped = read(*result, **changes)
    assert isinstance(dropped, Drop)
    assert dropped.stage == "pull"
    return dropped.reason


def test_a_rating_with_a_comment() -> None:
    judgment = read(number(37.1), comment("not sure", "about the bus"))
    assert isinstance(judgment, Judgment)
    assert judgment.model_dump(exclude={"created_at"}) == {
        "judgment_id": judgment_id("label-studio", UNIQUE),
        "proposition_id": "p1",
        "annotator_id": "a1",
        "probability": 0.371,
        "raw_probability": 0.371,
        "cannot_judge": False,
        "comment": "not sure\nabout the bus",
        "lead_time_s": 3.2,
        "source": "label-studio",
        "source_id": UNIQUE,
        "sequence": 1,
        "status": "submitted",
        "batch": "project",
        "submitted_at": datetime(2026, 11, 23, 14, 51, 45, 414903, UTC),
        "updated_at": datetime(2026, 11, 23, 14, 53, 0, 1, UTC),
        "deleted_at": None,
        "width": None,
        "interface": None,
        "interface_version": None,
        "scale": "0:100",
    }


def made_on(mark: str) -> dict[str, Any]:
    return {"from_name": "page", "to_name": "hypothesis", "type": "textarea", "value": {"text": [mark]}}


def test_a_judgment_knows_the_page_it_was_made_on() -> None:
    def told(judgment: Judgment | Drop) -> tuple[object, ...]:
        assert isinstance(judgment, Judgment)
        return judgment.probability, judgment.interface, judgment.interface_version, judgment.scale

    unli = number(4000) | {"from_name": "unli_position"}
    assert told(read(number(37.1), made_on("slider 0123abcd"))) == (0.371, "slider", "0123abcd", "0:100")
    assert told(read(number(0.005), made_on("number 0123abcd"))) == (0.00005, "number", "0123abcd", "0:100")
    assert told(read(unli, made_on("unli 0123abcd"))) == (
        pytest.approx(0.0474256, rel=1e-5),
        "unli",
        "0123abcd",
        "unli",
    )
    assert told(read(cannot_judge(), made_on("unli 0123abcd"))) == (None, "unli", "0123abcd", "unli")
    assert told(read(unli)) == (pytest.approx(0.0474256, rel=1e-5), None, None, "unli"), "the control tells the scale"
    assert told(read(unli, made_on("slider 0123abcd")))[1:] == (None, None, "unli"), "a page without this control"
    assert told(read(number(50), made_on("made up")))[1:] == (None, None, "0:100")
    assert reason(number(50), unli) == "malformed"
    assert reason(unli | {"value": {"number": 10_001}}) == "out_of_range"


@given(st.integers(min_value=0, max_value=1000))
def test_every_position_of_the_slider_is_exact(tenths: int) -> None:
    judgment = read(number(tenths / 10))
    assert isinstance(judgment, Judgment)
    assert judgment.probability == float(Fraction(tenths, 1000))


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_number_is_a_probability_or_a_drop(value: float) -> None:
    result = read(number(value))
    if 0 <= value <= 100:
        assert isinstance(result, Judgment)
        assert result.probability == pytest.approx(value / 100, abs=0.0005 + 1e-9), "the slider moves in tenths"
        assert result.probability == round(result.probability or 0, 3)
    else:
        assert isinstance(result, Drop)
        assert result.reason == "out_of_range"


def test_cannot_judge_has_no_probability_but_keeps_where_the_slider_stood() -> None:
    untouched, moved = read(cannot_judge()), read(number(12.5), cannot_judge())
    assert isinstance(untouched, Judgment)
    assert isinstance(moved, Judgment)
    assert (untouched.probability, untouched.raw_probability, untouched.cannot_judge) == (None, None, True)
    assert (moved.probability, moved.raw_probability, moved.cannot_judge) == (None, 0.125, True)


def test_an_unticked_cannot_judge_is_an_ordinary_rating() -> None:
    unticked = cannot_judge() | {"value": {"choices": []}}
    judgment = read(number(5), unticked)
    assert isinstance(judgment, Judgment)
    assert judgment.probability == 0.05


def test_what_is_no_judgment_is_dropped_with_its_reason() -> None:
    assert reason(number(9999)) == "out_of_range"
    assert reason(number(-0.1)) == "out_of_range"
    assert reason(number(9999), cannot_judge()) == "out_of_range"
    assert reason() == "no_rating"
    assert reason(comment("only a comment")) == "no_rating"
    assert reason(number(50), was_cancelled=True) == "skipped"
    assert reason(number(50) | {"from_name": "rating"}) == "unknown_control"
    assert reason("text") == "unknown_control"
    assert reason(number(50), number(60)) == "malformed"
    assert reason(number("50")) == "malformed"
    assert reason(number(True)) == "malformed"
    assert reason(number(None)) == "malformed"
    assert reason(number(50) | {"value": None}) == "malformed"
    assert reason(number(50), cannot_judge() | {"value": {"choices": ["maybe"]}}) == "malformed"
    assert reason(result="[]") == "malformed"
    assert reason(number(50), unique_id=None) == "no_unique_id"


def test_a_foreign_task_or_an_unknown_user_is_dropped() -> None:
    foreign = judgment_of(annotation(number(50)), None, "a1")
    nobody = judgment_of(annotation(number(50)), "p1", None)
    assert isinstance(foreign, Drop)
    assert isinstance(nobody, Drop)
    assert (foreign.reason, nobody.reason) == ("no_proposition", "no_annotator")


def test_the_same_annotation_gives_the_same_ids() -> None:
    first, second = read(number(9999)), read(number(9999))
    assert isinstance(first, Drop)
    assert isinstance(second, Drop)
    assert first.drop_id == second.drop_id
    assert first.subject_id == UNIQUE


@pytest.mark.parametrize("lead_time", [None, -1.0, float("nan"), "3", True])
def test_an_unusable_lead_time_is_left_out(lead_time: object) -> None:
    judgment = read(number(50), lead_time=lead_time)
    assert isinstance(judgment, Judgment)
    assert judgment.lead_time_s is None


def test_people_are_known_by_a_hash_and_never_by_their_address() -> None:
    person = annotator_of(7, "Ada@Example.org ")
    assert person.annotator_id == annotator_id("label-studio", "ada@example.org")
    assert (person.kind, person.pseudonym, person.source_id) == ("human", f"A-{person.annotator_id[:8]}", "7")
    assert "example.org" not in person.model_dump_json().lower()


@pytest.mark.parametrize(
    ("email", "kind"),
    [
        ("x@simulated.invalid", "simulated"),
        ("X@Simulated.INVALID", "simulated"),
        ("x@notsimulated.invalid", "human"),
        ("x@sub.simulated.invalid", "human"),
        ("simulated.invalid@example.org", "human"),
        ("x@simulated.invalid.example.org", "human"),
    ],
)
def test_only_the_reserved_domain_marks_a_simulated_annotator(email: str, kind: str) -> None:
    assert annotator_of(1, email).kind == kind


def test_a_task_carries_the_texts_as_they_are() -> None:
    proposition = PropositionText(proposition_id="p1", premise="1 < 2 & <b>bold</b>", hypothesis="h")
    assert task_of(proposition) == {
        "data": {"proposition_id": "p1", "premise": "1 < 2 & <b>bold</b>", "hypothesis": "h"}
    }
