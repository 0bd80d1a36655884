"""Payment: what each person did in a period and is owed for it, as a file and as rows that no other period repeats."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from annotation.studio.clock import TOLERANCE
from flows.annotators.listing import emails_of
from flows.research.query import rows_file
from flows.settings.settings import Config, load_settings
from flows.stages.outcome import Outcome
from flows.stages.services import writing
from flows.studio.connection import connecting
from flows.terminal.console import note
from warehouse.catalog.connect import Warehouse
from warehouse.catalog.patience import turn
from warehouse.catalog.store import merge
from warehouse.errors import InputError
from warehouse.files.formats import write_batches
from warehouse.queries.people import clock_behind_s, payments_between, work_done
from warehouse.records import Payment, content_id, now

CAP_S = 300.0
"""A judgment counts for so many seconds at most: the page may have been left open."""
MOST = 1_000_000_000
"""The largest number that an option takes: nobody means more, and sums of it keep their hundredths."""


def annotators_pay(
    start: str,
    end: str,
    *,
    output: Path | str,
    rate_per_judgment: float | None = None,
    rate_per_hour: float | None = None,
    cap_seconds: float = CAP_S,
    emails: bool = False,
    config: Config = None,
) -> Outcome:
    """Write what each person is owed for the judgments submitted in a period, and record it.

    The same period again writes the same file, from what was recorded. A period that overlaps a paid one is refused.

    Args:
        start: The first day or time of the period, such as 2026-11-01 (UTC).
        end: The day or time before which it ends.
        output: The .csv file to write.
        rate_per_judgment: The amount for each judgment.
        rate_per_hour: The amount for each hour; give one of the two rates.
        cap_seconds: The most seconds that one judgment counts for.
        emails: Add the e-mail addresses, looked up in Label Studio now; they are stored nowhere else.
        config: The settings, or the file to read them from.

    Raises:
        InputError: the period is not one, lies in the future or overlaps a paid one; there is not exactly one rate;
            or a number is impossible.
    """
    settings = load_settings(config)
    since, until = period(start, end)
    if (rate_per_judgment is None) == (rate_per_hour is None):
        raise InputError("give one of --rate-per-judgment and --rate-per-hour")
    for option, rate in (("--rate-per-judgment", rate_per_judgment), ("--rate-per-hour", rate_per_hour)):
        check_number(option, 0 if rate is None else rate, 0)
    check_number("--cap-seconds", cap_seconds, 1)
    path = rows_file(settings, output)
    addresses = emails_of(connecting(settings)()) if emails else None
    # The lock is held from looking at what is paid until the payments are written: nobody else pays in between.
    with writing(settings) as warehouse, turn(warehouse.pay_lock, "paying", note):
        _check_clock(end, until, clock_behind_s(warehouse))
        done = {row["annotator_id"]: row for row in work_done(warehouse, since, until, cap_seconds)}
        _check_overlap(warehouse, since, until)
        paid = paid_for(warehouse, since, until)
        again = bool(paid)
        if not again:
            paid = [_payment(row, since, until, rate_per_judgment, rate_per_hour) for row in done.values()]
        lines = [_line(one, done.get(one.annotator_id, {}), addresses) for one in paid]
        lines.sort(key=lambda line: (line["annotator"] or "", line["annotator_id"]))
        rows = pa.Table.from_pylist(lines, _schema(emails))
        write_batches(rows.to_reader(), path)
        merge(warehouse, paid)
    total = sum((Decimal(str(one.amount)) for one in paid), Decimal(0))
    untimed = sum(row["n_untimed"] for row in done.values())
    notes = [f"{total:,.2f} in all, in {output}"]
    notes += ["as recorded before" if again else ""]
    notes += [f"{untimed:,} judgments have no time" if untimed and rate_per_hour is not None else ""]
    counts = {"annotators": len(paid), "judgments": sum(one.n_judgments for one in paid)}
    return Outcome(stage="annotators pay", counts=counts, note="; ".join(filter(None, notes)))


def owed(n_judgments: int, seconds: float, rate_per_judgment: float | None, rate_per_hour: float | None) -> float:
    """Return an amount, rounded half up to hundredths."""
    exact = (
        Decimal(str(rate_per_judgment)) * n_judgments
        if rate_per_judgment is not None
        else Decimal(str(rate_per_hour)) * Decimal(str(seconds)) / 3600
    )
    return float(exact.quantize(Decimal("0.01"), ROUND_HALF_UP))


def _payment(
    row: dict[str, Any], since: datetime, until: datetime, rate_per_judgment: float | None, rate_per_hour: float | None
) -> Payment:
    name = row["annotator_id"]
    return Payment(
        payment_id=content_id("payment", name, since.isoformat(), until.isoformat()),
        annotator_id=name,
        period_start=since,
        period_end=until,
        n_judgments=row["n_judgments"],
        n_checks_passed=row["n_checks_passed"],
        n_checks=row["n_checks"],
        seconds=row["seconds"],
        amount=owed(row["n_judgments"], row["seconds"], rate_per_judgment, rate_per_hour),
    )


def paid_for(warehouse: Warehouse, since: datetime, until: datetime) -> list[Payment]:
    """Return the payments of exactly this period."""
    found = payments_between(warehouse, since, until)
    return [one for one in found if (one.period_start, one.period_end) == (since, until)]


def _check_overlap(warehouse: Warehouse, since: datetime, until: datetime) -> None:
    """Raise `InputError` if another period than this one is paid and overlaps it."""
    found = payments_between(warehouse, since, until)
    other = next((one for one in found if (one.period_start, one.period_end) != (since, until)), None)
    if other is not None:
        raise InputError(
            f"{_said(other.period_start)} to {_said(other.period_end)} is paid already: choose a period outside it"
        )


def _line(one: Payment, row: dict[str, Any], addresses: dict[str, str] | None) -> dict[str, Any]:
    more = {} if addresses is None else {"email": addresses.get(one.annotator_id)}
    return {
        "annotator_id": one.annotator_id,
        "annotator": row.get("pseudonym"),
        **more,
        "status": row.get("status"),
        "from": _said(one.period_start),
        "to": _said(one.period_end),
        "judgments": one.n_judgments,
        "checks": one.n_checks,
        "checks_passed": one.n_checks_passed,
        "seconds": round(one.seconds, 1),
        "amount": f"{one.amount:.2f}",
    }


def _schema(emails: bool) -> pa.Schema:
    texts = ["annotator_id", "annotator", *(["email"] if emails else []), "status", "from", "to"]
    counts = ["judgments", "checks", "checks_passed"]
    fields = [(name, pa.string()) for name in texts] + [(name, pa.int64()) for name in counts]
    return pa.schema([*fields, ("seconds", pa.float64()), ("amount", pa.string())])


def period(start: str, end: str) -> tuple[datetime, datetime]:
    """Return a period that is over. Raises `InputError` for anything else."""
    limits(start, end)
    since, until = _moment("--from", start), _moment("--to", end)
    if until > now():
        raise InputError(
            f"--to {end} is in the future: end the period before now, or its later judgments are never paid"
        )
    return since, until


def limits(start: str | None, end: str | None) -> tuple[datetime | None, datetime | None]:
    """Return the start and the end of a time, of which either may be open. Raises `InputError` if it has no length."""
    since = None if start is None else _moment("--from", start)
    until = None if end is None else _moment("--to", end)
    if since is not None and until is not None and since >= until:
        raise InputError(f"--from {start} is not before --to {end}")
    return since, until


def check_number(option: str, value: float, least: float, most: float = MOST) -> None:
    """Raise `InputError` unless a number is from `least` to `most`; NaN is not."""
    if not least <= value <= most:
        raise InputError(f"{option} must be from {least:,} to {most:,}, not {value:g}")


def _check_clock(end: str, until: datetime, behind_s: float) -> None:
    """Raise `InputError` if the period is not over by the clock of Label Studio, which dates the judgments."""
    if behind_s > TOLERANCE.total_seconds() and until > now() - timedelta(seconds=behind_s):
        raise InputError(
            f"--to {end} is in the future by the clock of Label Studio, which was {behind_s / 3600:.1f} hours behind "
            "this machine's at the last pull: later judgments of the period could never be paid"
        )


def _moment(option: str, text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{option} {text} is not a day or time such as 2026-11-01 or 2026-11-01T12:00") from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _said(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d" if moment.time() == datetime.min.time() else "%Y-%m-%d %H:%M")
