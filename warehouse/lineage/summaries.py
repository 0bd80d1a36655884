"""How each kind of row is said in one line, without its kind and id: for traces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

Row: TypeAlias = dict[str, Any]


def number(value: float | None, digits: int = 3) -> str:
    """A figure with so many digits behind the point; "none" for a missing one."""
    return "none" if value is None else f"{value:.{digits}f}"


def _interval(row: Row) -> str:
    return "" if row["low"] is None or row["high"] is None else f" [{row['low']:.3f}, {row['high']:.3f}]"


def _day(row: Row) -> str:
    moment = row["submitted_at"] or row["created_at"]
    return f"{moment:%Y-%m-%d %H:%M}"


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _base(text: str) -> str:
    """The name of a base model: the file's where it is a path."""
    return Path(text).name if text.startswith(("/", "~")) else text


def _proposition(row: Row) -> str:
    target = "" if row["target_probability"] is None else f", target {number(row['target_probability'], 2)}"
    return f"“{row['hypothesis']}” ({row['kind']} by {row['source']}, {row['split']}{target})"


def _request(row: Row) -> str:
    counted = [row[name] for name in ("tokens_in", "tokens_out") if row[name] is not None]
    tokens = [" + ".join(f"{count:,}" for count in counted) + " tokens"] if counted else []
    price = [] if row["cost"] is None else [f"${row['cost']:.4g}" + (" (cached)" if row["cached"] else "")]
    end = [] if row["status"] == "answered" else [f"{row['status']}: {row['reason']}"]
    head = f"{row['purpose']} by {row['labeler']}: {row['model']}, prompt {row['prompt']} {row['prompt_version']}"
    return ", ".join([head, *tokens, *price, *end])


def _labeler(row: Row) -> str:
    head = f"{row['labeler']}: {row['model']} at {row['endpoint']}, prompt {row['prompt']} {row['prompt_version']}"
    used = "in use" if row["in_use"] else f"out of use since {row['changed_at']:%Y-%m-%d}"
    return f"{head}, {row['method']}, {used}"


def _estimate(row: Row) -> str:
    end = "" if row["probability"] is not None else f", {row['reason']}"
    return f"{number(row['probability'])} by {row['labeler']} ({row['method']}){end}"


def _verdict(row: Row) -> str:
    end = "" if row["confidence"] is not None else f", {row['reason']}"
    return f"{number(row['confidence'])} by {row['judge']} ({row['mode']}), of estimate {row['estimate_id'][:12]}{end}"


def _comparison(row: Row) -> str:
    one, other = row["first_id"], row["second_id"]
    if row["more_likely_id"] is None:
        return f"{one[:12]} beside {other[:12]} by {row['labeler']}: none, {row['reason']}"
    if row["more_likely_id"] == other:
        one, other = other, one
    return f"{one[:12]} above {other[:12]} by {row['labeler']}"


def _annotator(row: Row) -> str:
    spread = "" if row["sd"] is None else f", sd {number(row['sd'])} around the consensus"
    group = f", group {row['annotator_group']}" if row["annotator_group"] else ""
    return f"{row['name'] or row['source_id']} ({row['kind']}, {row['status']}) of {row['source']}{group}{spread}"


def _judgment(row: Row) -> str:
    end = f", does not count: {row['unused']}" if row["unused"] else ""
    value = "cannot judge" if row["cannot_judge"] else number(row["probability"])
    return (
        f"{value} by {row['annotator']} ({row['annotator_kind']}), {_day(row)}, {row['source']} {row['source_id']}{end}"
    )


def _agreement(row: Row) -> str:
    base = f"{_many(row['n_judgments'], 'judgment')}, {_many(row['n_annotators'], 'annotator')}"
    head = f"{row['metric']} {number(row['value'])}{_interval(row)}"
    return f"{head} of {row['scope']}, {row['slice']}: {base}, snapshot {row['snapshot_id']}"


def _consensus(row: Row) -> str:
    spread = "" if row["sd"] is None else f" ± {number(row['sd'])}"
    pooled = f" and {_many(row['n_estimates'], 'estimate')}" if row["n_estimates"] else ""
    return f"{number(row['mean'])}{spread} by {row['method']}, of {_many(row['n_judgments'], 'judgment')}{pooled}"


def _fit(row: Row) -> str:
    made = f"mean in place of {row['method']}" if row["mode"] == "mean" else f"{row['mode']} fit of {row['method']}"
    return (
        f"{made}, mu {number(row['mu'])}, tau {number(row['tau'])}, "
        f"{_many(row['n_judgments'], 'judgment')}, {_many(row['n_annotators'], 'annotator')}, "
        f"snapshot {row['snapshot_id']}"
    )


def _recalibration(row: Row) -> str:
    base = f"on {_many(row['n_propositions'], 'proposition')}, {_many(row['n_judgments'], 'judgment')}"
    base = base if row["estimates"] else "withdrawn"
    return f"{row['labeler']} {row['labeler_version']}, {base}, snapshot {row['snapshot_id']}"


def _dataset(row: Row) -> str:
    total = row["n_train"] + row["n_dev"] + row["n_test"]
    return f"{row['name']} v{row['version']}, {_many(total, 'row')}, snapshot {row['snapshot_id']}, {row['path']}"


def _shard(row: Row) -> str:
    place = f"{row['path']} of {row['dataset']}"
    if row.get("row") is None:
        return f"{place}, {_many(row['rows'], 'row')}"
    return f"{place}, row {row['row']:,} of {row['rows']:,} (from 0): {_stands(row)}"


def _row(row: Row) -> str:
    text = f", “{row['hypothesis']}”" if row.get("hypothesis") else ""
    return f"row {row['row']:,} (from 0): {_stands(row)}{text}"


def _stands(row: Row) -> str:
    """What a row of a shard says."""
    if row["origin"] == "pairs":
        return f"{row['higher_proposition_id'][:12]} above {row['lower_proposition_id'][:12]}"
    spread = "" if row["sd"] is None else f" ± {number(row['sd'])}"
    pooled = f" and {_many(row['n_estimates'], 'estimate')}" if row["n_estimates"] else ""
    return f"{number(row['mean'])}{spread} of {_many(row['n_judgments'], 'judgment')}{pooled}"


def _model(row: Row) -> str:
    loss = "" if row["dev_loss"] is None else f", dev loss {number(row['dev_loss'])}"
    return f"{row['name']} on {_base(row['base_model'])}, {_many(row['steps'], 'step')}{loss}, {row['path']}"


def _evaluation(row: Row) -> str:
    head = f"{row['metric']} {number(row['value'])}{_interval(row)}"
    return f"{head} of {row['subject']}, suite {row['suite']}, {_many(row['n'], 'item')}"


def _score(row: Row) -> str:
    return f"{number(row['score'])} for proposition {row['proposition_id'][:12]}"


def _drop(row: Row) -> str:
    return f"{row['stage']}: {row['reason']}" + (f" ({row['detail']})" if row["detail"] else "")


def _judgments(row: Row) -> str:
    judges = f"{_many(row['n_annotators'], 'annotator')} of kind {row['annotator_kind']}"
    return f"{row['n']:,} by {judges}, {_many(row['n_propositions'], 'proposition')}, {row['source']}"


SAYINGS: dict[str, Callable[[Row], str]] = {
    "premise": lambda row: f"“{row['text']}” ({row['source']}, {row['language']})",
    "proposition": _proposition,
    "request": _request,
    "labeler": _labeler,
    "estimate": _estimate,
    "verdict": _verdict,
    "comparison": _comparison,
    "annotator": _annotator,
    "judgment": _judgment,
    "task": lambda row: f"number {row['source_id']} of {row['project']}",
    "check": lambda row: f"{row['purpose']}, passes from {number(row['low'])} to {number(row['high'])}",
    "drop": _drop,
    "agreement": _agreement,
    "consensus": _consensus,
    "consensus fit": _fit,
    "recalibration": _recalibration,
    "dataset": _dataset,
    "shard": _shard,
    "model": _model,
    "score": _score,
    "evaluation": _evaluation,
    "row": _row,
    "judgments": _judgments,
}


def summary(kind: str, row: Row) -> str:
    """A row of a kind of `warehouse.lineage.kinds` in one line."""
    return SAYINGS[kind](row)
