"""People of crowd platforms: their accounts in Label Studio, and the platforms' own files.

Label Studio keeps no parameters of the address somebody came by. So the e-mail address of the account tells the id:
at Prolific the participant's own anonymous address, which Prolific forwards; at MTurk one that reaches nobody.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from io import StringIO
from typing import Literal, NamedTuple, TypeAlias

from annotation.sync.mapping import annotator_id_of
from warehouse.errors import InputError

Platform: TypeAlias = Literal["prolific", "mturk"]
DOMAINS: Mapping[Platform, str] = {"prolific": "email.prolific.com", "mturk": "mturk.invalid"}
PEOPLE: Mapping[Platform, tuple[str, ...]] = {"prolific": ("Participant id", "participant_id"), "mturk": ("WorkerId",)}
PROLIFIC_ID = re.compile(r"[0-9a-f]{24}")
WAITING = {"AWAITING REVIEW", "Submitted"}
"""What the platforms call work that nobody has approved or rejected."""
APPROVED = {"APPROVED", "Approved"}
"""What the platforms call work that was approved."""

CODE: Mapping[Platform, str] = {"prolific": "Completion code", "mturk": "Answer.surveycode"}
"""The column with the code that somebody came back with; at MTurk, that of its template for a survey link."""
NO_CODE = {"", "nocode"}


class Decision(NamedTuple):
    """Whether to approve somebody's work; None leaves it to a person. The reason is for a person to read."""

    approve: bool | None
    reason: str = ""


class Codes(NamedTuple):
    """The codes that people come back to a platform with: those who finished, and those who were screened out."""

    completion: str | None = None
    screen_out: str | None = None


NO_CODES = Codes()


Decide = Callable[[str], Decision]
"""Returns the decision about an annotator, by id."""


def crowd_annotator(platform: Platform, person: str) -> str:
    """Return the annotator id of somebody by the id on a platform, from the address of the account."""
    return annotator_id_of(f"{person.strip()}@{DOMAINS[platform]}")


class Export:
    """The submissions that a platform exported: a CSV with a header.

    Raises:
        InputError: the file is not such an export.
    """

    def __init__(self, platform: Platform, name: str, text: str) -> None:
        reader = csv.DictReader(StringIO(text))
        self.platform, self.name, self.columns = platform, name, list(reader.fieldnames or [])
        known = [column for column in PEOPLE[platform] if column in self.columns]
        if not known:
            raise InputError(f"{name} has no column {PEOPLE[platform][0]}: export the submissions from {platform}")
        self.person = known[0]
        self.rows = [dict(row) for row in reader if row.get(known[0])]

    def decided(self, decide: Decide, codes: Codes = NO_CODES) -> list[tuple[dict[str, str], str, Decision]]:
        """Return each row that waits, with the person and the decision about the work, and the code considered.

        Raises:
            InputError: there are codes, but the export has no column with those that people gave.
        """
        column = CODE[self.platform]
        if codes != NO_CODES and column not in self.columns:
            raise InputError(
                f"{self.name} has no column {column}, which annotation.crowd needs: export it, or set no codes"
            )
        names = [(row, row[self.person].strip()) for row in self.waiting()]
        return [
            (row, name, with_code(decide(crowd_annotator(self.platform, name)), row.get(column) or "", codes))
            for row, name in names
        ]

    def people(self) -> dict[str, str]:
        """Return the platform's id, by annotator id, of each person whose work waits or was approved."""
        rows = self._in_state(WAITING | APPROVED)
        return {crowd_annotator(self.platform, row[self.person]): row[self.person].strip() for row in rows}

    def waiting(self) -> list[dict[str, str]]:
        """Return the rows that wait for a decision; all, if the export does not tell."""
        return self._in_state(WAITING)

    def _in_state(self, states: Collection[str]) -> list[dict[str, str]]:
        column = next((name for name in ("Status", "AssignmentStatus") if name in self.columns), None)
        return [row for row in self.rows if column is None or row[column] in states]


def with_code(work: Decision, code: str, codes: Codes) -> Decision:
    """Return the decision about somebody's work, now that it is known with which code they came back.

    A code proves nothing, since Label Studio has no last page to show it on: what was judged decides. Only whoever came
    with the screen-out code is left to a person, and never rejected.
    """
    given, completion, screen_out = (one and one.strip().casefold() for one in (code, *codes))
    if screen_out and given == screen_out:
        return Decision(None, "came with the screen-out code" + (", though enough was judged" if work.approve else ""))
    if not completion or given == completion:
        return work
    said = "came without a completion code" if given in NO_CODE else f"came with the code {code.strip()}"
    return work._replace(reason=f"{work.reason or 'enough was judged'}; {said}")


def mturk_review(decided: Iterable[tuple[dict[str, str], str, Decision]]) -> list[dict[str, str]]:
    """Return the rows of a batch with `Approve` (x) or `Reject` (the reason) filled in, to upload again.

    Both are empty where the decision is left to a person.
    """
    return [
        {**row, "Approve": "x" if one.approve else "", "Reject": one.reason if one.approve is False else ""}
        for row, _, one in decided
    ]


def bonus_lines(people: Mapping[str, str], amounts: Iterable[tuple[str, float]]) -> list[str]:
    """Return the lines `participant_id,amount` of Prolific's bulk bonus for known annotators who are owed something.

    Raises:
        InputError: a participant id is not one of Prolific's.
    """
    lines = []
    for annotator, amount in amounts:
        if annotator not in people or amount <= 0:
            continue
        if not PROLIFIC_ID.fullmatch(people[annotator]):
            raise InputError(f"{people[annotator]!r} is not a participant id of Prolific, 24 digits and letters a to f")
        lines.append(f"{people[annotator]},{amount:.2f}")
    return lines
