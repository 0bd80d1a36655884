"""Files for crowd platforms: whose work to approve, and bonuses."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path

from annotation.people.crowd import PEOPLE, Codes, Decision, Export, Platform, bonus_lines, mturk_review
from flows.annotators.pay import check_number, limits, paid_for, period
from flows.research.query import check_apart
from flows.settings.settings import Config, load_settings
from flows.stages.outcome import Outcome
from flows.stages.services import reading, writing
from flows.terminal.console import note
from warehouse.atomic import write_atomically
from warehouse.catalog.connect import Warehouse
from warehouse.catalog.patience import turn
from warehouse.catalog.store import merge, read
from warehouse.errors import InputError
from warehouse.files.formats import inert
from warehouse.queries.people import Given, excluded_for, work_given
from warehouse.records import StudioProject, now

UNKNOWN = "no judgment is known: they did nothing, or signed up with another address, or odds pull has not run since"
"""Why a person must decide about somebody of whom the warehouse has no judgment."""
NOTHING = Given(0, None)


def annotators_approve(
    file: Path | str,
    platform: Platform,
    *,
    output: Path | str,
    min_judgments: int = 1,
    min_check_rate: float = 0.0,
    start: str | None = None,
    end: str | None = None,
    project: str | None = None,
    config: Config = None,
) -> Outcome:
    """Decide whose work to approve, for the submissions that a platform exported.

    For MTurk, `output` is the batch with its columns Approve and Reject filled in. For Prolific it is the list of ids
    to approve in bulk. Beside it, NAME-review.csv has whoever a person should look at, with the reason.

    What was judged decides, not the code that somebody came back with. Each judgment counts once: also repeats,
    practice, checks and "cannot judge". If `annotation.crowd` has codes, whoever came with another one, or without, is
    in NAME-review.csv, and so is whoever came with the screen-out code. Whoever is excluded, or has no judgment, is
    left to a person.

    Args:
        file: The export of the platform: a CSV.
        platform: prolific or mturk.
        output: The file to write.
        min_judgments: How many judgments, with checks, somebody must have given.
        min_check_rate: The share of attention checks that must be passed, if any were met.
        start: Only what was judged from this day or time on, such as 2026-11-01 (UTC).
        end: Only what was judged before this day or time.
        project: Only what was judged in the Label Studio project with this title.
        config: The settings, or the file to read them from.

    Raises:
        InputError: the file cannot be read or written, or is not such an export; there is no such project; or a number
            or the period is impossible.
    """
    settings = load_settings(config)
    check_number("--min-judgments", min_judgments, 1)
    check_number("--min-check-rate", min_check_rate, 0, 1)
    since, until = limits(start, end)
    export, path, crowd = _export(file, platform), Path(output), settings.annotation.crowd
    check_apart(settings, path, [Path(file)])
    with reading(settings) as warehouse:
        keys = None if project is None else _keys(warehouse, project)
        given, excluded = work_given(warehouse, since, until, keys), excluded_for(warehouse)

    def decide(annotator: str) -> Decision:
        if annotator in excluded:
            return Decision(None, f"is excluded: {excluded[annotator]}")
        return decision_about(given.get(annotator, NOTHING), min_judgments, min_check_rate)

    decided = export.decided(decide, Codes(crowd.completion_code, crowd.screen_out_code))
    if platform == "mturk":
        columns = [*(name for name in export.columns if name not in ("Approve", "Reject")), "Approve", "Reject"]
        rows = [[row.get(name) or "" for name in columns] for row in mturk_review(decided)]
        write_atomically(path, _csv(columns, rows))
    else:
        write_atomically(path, "".join(f"{name}\n" for _, name, one in decided if one.approve))
    look_at = [[name, one.reason] for _, name, one in decided if one.reason]
    write_atomically(path.with_name(f"{path.stem}-review.csv"), _csv([PEOPLE[platform][-1], "reason"], look_at))
    counts = {"to approve": sum(bool(one.approve) for *_, one in decided), "to look at": len(look_at)}
    unlimited = (start, end, project) == (None, None, None)
    all_counted = "; whatever they ever judged counts, unless --project, --from or --to limits it" if unlimited else ""
    return Outcome(stage="annotators approve", counts=counts, note=f"{path}{all_counted}")


def decision_about(given: Given, min_judgments: int, min_check_rate: float) -> Decision:
    """Return the decision about what somebody gave. Without any judgment it is left to a person."""
    if not given.n:
        return Decision(None, UNKNOWN)
    if given.n < min_judgments:
        return Decision(False, f"{given.n} of {min_judgments} judgments were submitted")
    if given.attention_rate is not None and given.attention_rate < min_check_rate:
        return Decision(False, f"{given.attention_rate:.0%} of the attention checks were passed")
    return Decision(True)


def _keys(warehouse: Warehouse, title: str) -> list[str]:
    """Return the keys of all projects that have or had this title."""
    every = read(warehouse, StudioProject)
    if found := [one.project for one in every if one.title == title]:
        return found
    titles = ", ".join(sorted({one.title for one in every})) or "there is none yet"
    raise InputError(f'no project that was pushed to is called "{title}": name one of them ({titles})')


def annotators_bonus(
    file: Path | str, start: str, end: str, *, output: Path | str, again: bool = False, config: Config = None
) -> Outcome:
    """Write Prolific's bulk bonus, a line `participant_id,amount` each, for a period that `annotators_pay` recorded.

    The amount is the person's whole payment of the period, so it is written once, whichever studies they took part in;
    the payment records when. Only participants whose submission waits or was approved get it.

    Args:
        file: The export of the study's submissions: it tells the participants' ids.
        start: The start of the paid period.
        end: Its end.
        output: The file to write.
        again: Also write bonuses that were written before, if that file was lost before it was paid.
        config: The settings, or the file to read them from.

    Raises:
        InputError: the period is not a paid one, or the file is not such an export; MTurk takes no such file; all
            bonuses were written before; or some were, and the file to write exists.
    """
    since, until = period(start, end)
    settings, export, path = load_settings(config), _prolific(file), Path(output)
    check_apart(settings, path, [Path(file)])
    people = export.people()
    with writing(settings) as warehouse, turn(warehouse.pay_lock, "paying", note):
        paid = paid_for(warehouse, since, until)
        if not paid:
            raise InputError(f"{start} to {end} is not paid yet: odds annotators pay records it")
        owed = [one for one in paid if one.annotator_id in people and one.amount > 0]
        due = [one for one in owed if again or one.bonus_at is None]
        before = len(owed) - len(due)
        if before and not due:
            raise InputError(
                f"{file}: every bonus of {start} to {end} was written before; --again writes them again, "
                "for a file that was lost before it was paid"
            )
        if before and path.exists():
            raise InputError(
                f"{path} exists, and bonuses written before ({before:,}) would not be in it: name another file"
            )
        lines = bonus_lines(people, [(one.annotator_id, one.amount) for one in due])
        write_atomically(path, "".join(f"{line}\n" for line in lines))
        merge(warehouse, [one.model_copy(update={"bonus_at": now()}) for one in due])
    counts = {"bonuses": len(lines), "written before": before, "of others": len(paid) - len(owed)}
    return Outcome(stage="annotators bonus", counts=counts)


def _prolific(file: Path | str) -> Export:
    try:
        return _export(file, "prolific")
    except InputError:
        _export(file, "mturk")  # or it is neither
        raise InputError(
            f"{file} is a batch of MTurk, which takes no file of bonuses: pay them one by one on its website, or by "
            "its API (SendBonus); the amounts are in the file of odds annotators pay"
        ) from None


def _export(file: Path | str, platform: Platform) -> Export:
    try:
        return Export(platform, str(file), Path(file).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file} cannot be read as CSV: {error}") from error


def _csv(header: list[str], rows: list[list[str]]) -> str:
    file = StringIO(newline="")
    writer = csv.writer(file)
    writer.writerows([[inert(cell) for cell in row] for row in (header, *rows)])
    return file.getvalue()
