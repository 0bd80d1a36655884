"""Turn propositions into tasks and annotations into judgments: pure functions.

Label Studio does not validate annotations: they may hold any number and any name. So each becomes either a judgment or
a `Drop` with the reason; none is repaired.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from annotation.interface.feedback import ANSWER
from annotation.interface.page import CANNOT_JUDGE, COMMENT, CONTROLS, HYPOTHESIS, NUMBERS, PAGE, PREMISE, read_mark
from annotation.interface.scales import SCALES, UNLI_POSITION, Scale
from warehouse import records
from warehouse.records import LEAD_TIME_LIMIT_S, Annotator, Drop, Interface, Judgment, PropositionText

SOURCE = "label-studio"
STAGE = "pull"
SIMULATED_DOMAIN = "simulated.invalid"
"""The e-mail domain of simulated annotators. RFC 2606 reserves `.invalid`: nobody can ever own an address there."""
COMMENT_LIMIT = 10_000


class _Answer(NamedTuple):
    """The number in an annotation with its scale, and the page that it was made on, as far as they are known."""

    number: float | None
    scale: Scale | None
    interface: Interface | None
    version: str | None


class _UnusableError(ValueError):
    """Why an annotation is not a judgment: a reason to count and a detail to read."""

    def __init__(self, reason: str, detail: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


def task_of(proposition: PropositionText, answer: str | None = None) -> dict[str, Any]:
    """Return the task of a proposition, and what a page with feedback tells about it.

    Its texts need no escaping: the page shows markup as plain text.
    """
    data = {
        "proposition_id": proposition.proposition_id,
        PREMISE: proposition.premise,
        HYPOTHESIS: proposition.hypothesis,
    }
    return {"data": data if answer is None else data | {ANSWER: answer}}


def is_simulated(email: str) -> bool:
    """Return whether the address belongs to a simulated annotator."""
    return email.strip().lower().endswith("@" + SIMULATED_DOMAIN)


def annotator_id_of(email: str) -> str:
    """Return the annotator id of whoever has an account with this address: a hash, whatever its case."""
    return records.annotator_id(SOURCE, email.strip().lower())


def annotator_of(user_id: int, email: str) -> Annotator:
    """Return the annotator of a user. An address is hashed into the id; it and the name are never stored."""
    address = email.strip().lower()
    simulated = is_simulated(address)
    annotator_id = annotator_id_of(address)
    return Annotator(
        annotator_id=annotator_id,
        kind="simulated" if simulated else "human",
        source=SOURCE,
        source_id=str(user_id),
        pseudonym=address.partition("@")[0] if simulated else records.pseudonym(annotator_id),
    )


def judgment_of(
    annotation: Mapping[str, Any], proposition_id: str | None, annotator_id: str | None, batch: str | None = None
) -> Judgment | Drop:
    """Return the judgment in an exported annotation, or a drop with the reason why there is none.

    Reasons: `no_unique_id`, `skipped`, `no_proposition` (the task was not pushed from here), `no_annotator`,
    `unknown_control`, `malformed`, `no_rating`, `out_of_range`. The number becomes a probability in [0, 1]; the name
    of its control tells on which scale it is. If "cannot judge" is ticked, it is kept only as `raw_probability`. An
    annotation that does not tell its page, such as one posted by a script, has no interface.
    """
    unique_id = annotation.get("unique_id")
    subject_id = str(unique_id or annotation.get("id"))
    try:
        if not unique_id:
            raise _UnusableError("no_unique_id")
        return _judgment(annotation, proposition_id, annotator_id, batch)
    except _UnusableError as error:
        return _drop(subject_id, error.reason, error.detail)


def _drop(subject_id: str, reason: str, detail: str | None) -> Drop:
    drop_id = records.content_id("drop", STAGE, SOURCE, subject_id, reason, detail or "")
    return Drop(drop_id=drop_id, stage=STAGE, subject_id=subject_id, reason=reason, detail=detail)


def bounded(annotation: Mapping[str, Any], source_id: str) -> list[Drop]:
    """Return what a judgment lost of its annotation, as drops with the judgment's id.

    Reasons: `lead_time_too_long` (left out), `comment_too_long` (cut), `between_steps` (rounded).
    """
    values = _values(annotation.get("result"))
    reasons = {}
    lead_time = _seconds(annotation.get("lead_time"))
    if lead_time is not None and lead_time > LEAD_TIME_LIMIT_S:
        reasons["lead_time_too_long"] = f"{lead_time:.0f} s, left out"
    comment = _comment(values.get(COMMENT)) or ""
    if len(comment) > COMMENT_LIMIT:
        reasons["comment_too_long"] = f"{len(comment):,} characters, {COMMENT_LIMIT:,} kept"
    answer = _answer(values)
    if answer.number is not None and answer.scale is not None:
        nearest = answer.scale.on_step(answer.number)
        if abs(answer.number - nearest) > 1e-9:
            reasons["between_steps"] = f"{answer.number}, rounded to {nearest:g}"
    return [_drop(source_id, reason, detail) for reason, detail in reasons.items()]


def _judgment(
    annotation: Mapping[str, Any], proposition_id: str | None, annotator_id: str | None, batch: str | None
) -> Judgment:
    if annotation.get("was_cancelled"):
        raise _UnusableError("skipped")
    if not proposition_id:
        raise _UnusableError("no_proposition")
    if not annotator_id:
        raise _UnusableError("no_annotator")
    values = _values(annotation.get("result"))
    cannot_judge = _choices(values.get(CANNOT_JUDGE)) == [CANNOT_JUDGE]
    answer = _answer(values)
    raw = None
    if answer.number is not None and answer.scale is not None:
        raw = answer.scale.probability(answer.scale.on_step(answer.number))
    if raw is None and not cannot_judge:
        raise _UnusableError("no_rating")
    source_id = str(annotation["unique_id"])
    lead_time = _seconds(annotation.get("lead_time"))
    return Judgment(
        judgment_id=records.judgment_id(SOURCE, source_id),
        proposition_id=proposition_id,
        annotator_id=annotator_id,
        probability=None if cannot_judge else raw,
        raw_probability=raw,
        cannot_judge=cannot_judge,
        comment=comment[:COMMENT_LIMIT] if (comment := _comment(values.get(COMMENT))) else None,
        lead_time_s=lead_time if lead_time is not None and lead_time <= LEAD_TIME_LIMIT_S else None,
        source=SOURCE,
        source_id=source_id,
        sequence=number if isinstance(number := annotation.get("id"), int) else None,
        batch=batch,
        submitted_at=_moment(annotation.get("created_at")),
        updated_at=_moment(annotation.get("updated_at")),
        interface=answer.interface,
        interface_version=answer.version,
        scale=answer.scale.name if answer.scale else None,
    )


def _values(result: object) -> dict[str, Mapping[str, Any]]:
    """Return the value of each control by name; each may have one answer."""
    if not isinstance(result, Sequence) or isinstance(result, str):
        raise _UnusableError("malformed", "the result is not a list")
    values: dict[str, Mapping[str, Any]] = {}
    for item in result:
        name = item.get("from_name") if isinstance(item, Mapping) else None
        if name not in CONTROLS and name not in NUMBERS:
            raise _UnusableError("unknown_control", f"{name}"[:200])
        if name in values or not isinstance(item.get("value"), Mapping):
            raise _UnusableError("malformed", name)
        values[name] = item["value"]
    return values


def _answer(values: Mapping[str, Mapping[str, Any]]) -> _Answer:
    """Return the number and the page. The mark of a page without this control is ignored."""
    given = [name for name in NUMBERS if name in values]
    if len(given) > 1:
        raise _UnusableError("malformed", "numbers on two scales")
    marked = read_mark(_comment(values.get(PAGE)))
    if marked and given and SCALES[marked[0]].control != given[0]:
        marked = None
    interface, version = marked or (None, None)
    if not given:
        return _Answer(None, SCALES[interface] if interface else None, interface, version)
    scale = SCALES[interface] if interface else SCALES["unli" if given[0] == UNLI_POSITION else "slider"]
    return _Answer(_number(values[given[0]], given[0], scale), scale, interface, version)


def _number(value: Mapping[str, Any], control: str, scale: Scale) -> float:
    number = value.get("number")
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise _UnusableError("malformed", control)
    if not math.isfinite(number) or not 0 <= number <= scale.most:
        raise _UnusableError("out_of_range", f"{number}")
    return float(number)


def _choices(value: Mapping[str, Any] | None) -> list[str]:
    chosen = (value or {}).get("choices", [])
    if not isinstance(chosen, list) or any(choice != CANNOT_JUDGE for choice in chosen):
        raise _UnusableError("malformed", CANNOT_JUDGE)
    return chosen[:1]


def _comment(value: Mapping[str, Any] | None) -> str | None:
    text = (value or {}).get("text")
    lines = [text] if isinstance(text, str) else text if isinstance(text, list) else []
    return "\n".join(str(line).strip() for line in lines).strip() or None


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and value >= 0 else None


def _moment(value: object) -> datetime | None:
    """Return a time of the export (ISO 8601 with an offset), or None if it cannot be read."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None
