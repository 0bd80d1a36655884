"""Files for crowd platforms: whose work to approve, and bonuses."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path

from annotation.people.crowd import PEOPLE, Codes, Decision, Export, Platform, bonus_lines, mturk_review
from flows.annotators.pay import period
from flows.outcome import Outcome
from flows.services import reading
from flows.settings.settings import Config, load_settings
from warehouse.atomic import write_atomically
from warehouse.errors import InputError
from warehouse.files.formats import inert
from warehouse.queries.people import payments_between, quality_of_annotators


def annotators_approve(
    file: Path | str,
    platform: Platform,
    *,
    output: Path | str,
    min_judgments: int = 1,
    min_check_rate: float = 0.0,
    config: Config = None,
) -> Outcome:
    """Decide whose work to approve, for the submissions that a platform exported.

    For MTurk, `output` is the batch with its columns Approve and Reject filled in. For Prolific it is the list of ids
    to approve in bulk. Beside it, NAME-review.csv has whoever a person should look at, with the reason.

    What was judged decides, not the code that somebody came back with. If `annotation.crowd` has codes, whoever came
    with another one, or without, is in NAME-review.csv, and so is whoever came with the screen-out code.

    Args:
        file: The export of the platform: a CSV.
        platform: prolific or mturk.
        output: The file to write.
        min_judgments: How many judgments, with checks, somebody must have given.
        min_check_rate: The share of attention checks that must be passed, if any were met.
        config: The settings, or the file to read them from.

    Raises:
        InputError: the file cannot be read or written, or is not such an export.
    """
    settings = load_settings(config)
    export, path, crowd = _export(file, platform), Path(output), settings.annotation.crowd
    with reading(settings) as warehouse:
        found = {row["annotator_id"]: row for row in quality_of_annotators(warehouse)}

    def decide(annotator: str) -> Decision:
        row = found.get(annotator)
        given = row["n_judgments"] + row["n_cannot_judge"] + row["n_checks"] if row else 0
        if given < min_judgments:
            return Decision(False, f"{given} of {min_judgments} judgments were submitted")
        if row and row["attention_rate"] is not None and row["attention_rate"] < min_check_rate:
            return Decision(False, f"{row['attention_rate']:.0%} of the attention checks were passed")
        return Decision(True)

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
    return Outcome(stage="annotators approve", counts=counts, note=str(path))


def annotators_bonus(file: Path | str, start: str, end: str, *, output: Path | str, config: Config = None) -> Outcome:
    """Write Prolific's bulk bonus, a line `participant_id,amount` each, for a period that `annotators_pay` recorded.

    Args:
        file: The export of the study's submissions: it tells the participants' ids.
        start: The start of the paid period.
        end: Its end.
        output: The file to write.
        config: The settings, or the file to read them from.

    Raises:
        InputError: the period is not a paid one, or the file is not such an export; MTurk takes no such file.
    """
    since, until = period(start, end)
    people = _prolific(file).people()
    with reading(load_settings(config)) as warehouse:
        paid = [
            one
            for one in payments_between(warehouse, since, until)
            if (one.period_start, one.period_end) == (since, until)
        ]
    if not paid:
        raise InputError(f"{start} to {end} is not paid yet: odds annotators pay records it")
    lines = bonus_lines(people, [(one.annotator_id, one.amount) for one in paid])
    write_atomically(Path(output), "".join(f"{line}\n" for line in lines))
    return Outcome(stage="annotators bonus", counts={"bonuses": len(lines), "of others": len(paid) - len(lines)})


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
