"""Make `judgments.jsonl`: SIMULATED judgments on `propositions.jsonl`. They say nothing about how people judge.

    python examples/make_judgments.py > examples/judgments.jsonl

The same seed gives the same file. Twelve simulated annotators in two groups judge for eight weeks: each week twelve
propositions with six judgments each, first in the batch pilot, from week four in main. Judgments scatter around the
writer's probability in `propositions.jsonl`:

    logit(p) = 0.9 logit(reading) + bias + noise,    noise ~ N(0, s^2),    rating = 100 p, rounded

- reading is the writer's probability; one proposition in eight is read differently by half of the annotators;
- bias and s depend on the annotator; in the pilot s is larger by half, so that agreement grows over time;
- the group crowd rounds more often to tens, and its last annotator mostly answers at random;
- one judgment in fifty is "cannot judge", and a few propositions are judged twice by the same annotator.
"""

from __future__ import annotations

import json
import math
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

SEED = 2026
START = datetime(2026, 1, 5, 9, tzinfo=UTC)
WEEKS, PILOT_WEEKS = 8, 3
JUDGMENTS_EACH = 6
ONE_IN_READ_APART = 8


@dataclass(frozen=True)
class Judge:
    """A simulated annotator. `bias` and `noise` are in logits, the others are probabilities."""

    name: str
    group: str
    bias: float
    noise: float
    rounding: float
    carelessness: float


def judges(rng: random.Random) -> list[Judge]:
    """Six annotators of each group; the last one of the crowd is careless."""
    made = []
    for number in range(12):
        crowd = number >= 6
        made.append(
            Judge(
                name=f"simulated-{number + 1:02d}",
                group="simulated-crowd" if crowd else "simulated-staff",
                bias=rng.gauss(0, 0.35),
                noise=rng.uniform(0.7, 1.3) if crowd else rng.uniform(0.4, 0.8),
                rounding=rng.uniform(0.6, 0.9) if crowd else rng.uniform(0.1, 0.4),
                carelessness=0.85 if number == 11 else 0.0,
            )
        )
    return made


def rating_of(judge: Judge, probability: float, read_apart: bool, pilot: bool, rng: random.Random) -> float:
    """Where the simulated annotator puts the slider, from 0 to 100."""
    if rng.random() < judge.carelessness:
        return rng.choice([50.0, 50.0, round(rng.uniform(0, 100), 1)])
    reading = 1 - 0.8 * probability if read_apart and rng.random() < 0.5 else probability
    spread = judge.noise * (1.5 if pilot else 1.0)
    logit = 0.9 * math.log(reading / (1 - reading)) + judge.bias + rng.gauss(0, spread)
    rating = 100 / (1 + math.exp(-logit))
    return float(round(rating, -1)) if rng.random() < judge.rounding else round(rating, 1)


def rows(propositions: list[dict[str, object]], seed: int = SEED) -> Iterator[dict[str, object]]:
    """The rows of the file, in the order of their times within a week."""
    rng = random.Random(seed)
    all_judges = judges(rng)
    a_week = len(propositions) // WEEKS
    for week in range(WEEKS):
        made: list[dict[str, object]] = []
        for number in range(week * a_week, (week + 1) * a_week):
            staff, crowd = (
                rng.sample(all_judges[:6], JUDGMENTS_EACH // 2),
                rng.sample(all_judges[6:], JUDGMENTS_EACH // 2),
            )
            again = [staff[0]] if number % 9 == 0 else []
            made += [_row(propositions[number], number, week, judge, rng) for judge in [*staff, *crowd, *again]]
        yield from sorted(made, key=lambda row: str(row["submitted_at"]))


def _row(proposition: dict[str, object], number: int, week: int, judge: Judge, rng: random.Random) -> dict[str, object]:
    probability = float(str(proposition["probability"]))
    read_apart, pilot = number % ONE_IN_READ_APART == 3, week < PILOT_WEEKS
    cannot = rng.random() < 0.02
    working_time = timedelta(days=rng.randrange(5), seconds=rng.randrange(8 * 3600))
    return {
        "premise": proposition["premise"],
        "hypothesis": proposition["hypothesis"],
        "annotator": judge.name,
        "group": judge.group,
        "rating": rating_of(judge, probability, read_apart, pilot, rng),
        "cannot_judge": cannot,
        "batch": "pilot" if pilot else "main",
        "submitted_at": (START + timedelta(weeks=week) + working_time).isoformat().replace("+00:00", "Z"),
        "lead_time": round(math.exp(rng.gauss(2.6, 0.5)), 1),
        "simulated": True,
        "license": "CC0-1.0",
    }


def main() -> None:
    """Write the rows to the standard output."""
    texts = (Path(__file__).with_name("propositions.jsonl")).read_text(encoding="utf-8").splitlines()
    for row in rows([json.loads(text) for text in texts]):
        sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
