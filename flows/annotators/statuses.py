"""What a person decides about an annotator: a dated row with its reason, which a later one can reverse."""

from __future__ import annotations

from typing import get_args

from flows.settings.settings import Config, load_settings
from flows.stages.outcome import Outcome
from flows.stages.services import writing
from warehouse.errors import InputError
from warehouse.queries.people import annotator_named, decide, statuses_of
from warehouse.records import Status


def annotators_status(annotator: str, status: Status, *, reason: str, config: Config = None) -> Outcome:
    """Set the status of an annotator from now on.

    Args:
        annotator: The pseudonym, the id or a unique beginning of either.
        status: invited, qualified, active, watched or excluded.
        reason: Why.
        config: The settings, or the file to read them from.

    Raises:
        InputError: nobody or more than one is called so, the status is unknown, or the reason is empty.
    """
    if status not in get_args(Status):
        raise InputError(f'"{status}" is not a status: use {", ".join(get_args(Status))}')
    if not reason.strip():
        raise InputError("--reason is empty: say why, for whoever reads it later")
    with writing(load_settings(config)) as warehouse:
        found = annotator_named(warehouse, annotator)
        decide(warehouse, found.annotator_id, status, reason.strip())
    return _outcome("annotators status", found.pseudonym, status, reason)


def annotators_exclude(annotator: str, *, reason: str = "", undo: bool = False, config: Config = None) -> Outcome:
    """Leave the judgments of an annotator out of agreement, consensus and training; with `undo`, count them again.

    The judgments stay in the warehouse. Undoing restores the status from before.

    Raises:
        InputError: as `annotators_status`; or the annotator to take back is not excluded.
    """
    if not undo:
        done = annotators_status(annotator, "excluded", reason=reason, config=config)
        return done.model_copy(update={"stage": "annotators exclude"})
    with writing(load_settings(config)) as warehouse:
        found = annotator_named(warehouse, annotator)
        rows = statuses_of(warehouse, found.annotator_id)
        if not rows or rows[0].status != "excluded":
            raise InputError(f"{found.pseudonym} is not excluded, so there is nothing to undo")
        before: Status = next((one.status for one in rows if one.status != "excluded"), "active")
        why = reason.strip() or f"no longer excluded for: {rows[0].reason}"
        decide(warehouse, found.annotator_id, before, why)
    return _outcome("annotators exclude", found.pseudonym, before, why)


def _outcome(stage: str, pseudonym: str | None, status: str, reason: str) -> Outcome:
    counted = "odds agree leaves out" if status == "excluded" else "odds agree counts"
    note = f"{pseudonym} is {status} from now on: {reason}; {counted} their judgments"
    return Outcome(stage=stage, counts={"annotators changed": 1}, note=note)
