"""Demo: the main job on embedded defaults, with simulated annotators or with you."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from rich.console import Console, Group
from rich.padding import Padding
from rich.text import Text

from flows.agree import agree
from flows.cycle import announced, asking, cycle, learning
from flows.imports import import_premises, import_propositions
from flows.pull import pull
from flows.services import judged_splits, studio_login
from flows.settings import CONFIG_NAME, Settings, load_settings
from flows.status import as_table, status_of
from flows.template import template_text
from warehouse.errors import InputError

SIMULATED = 5
SECONDS_BETWEEN_LOOKS = 10
EXAMPLES = Path(__file__).parents[1] / "examples"
QUERIES = (
    "SELECT stage, n, n_simulated FROM progress ORDER BY position",
    "SELECT hypothesis, consensus_mean, consensus_sd FROM proposition_overview ORDER BY consensus_sd DESC LIMIT 5",
    "SELECT labeler, method, n_estimates, n_distinct, pearson FROM labeler_quality",
)


def run_demo(folder: Path, enough: int | None, console: Console) -> None:
    """Run the demo in `folder`, which it makes; run again, it goes on from there.

    With `enough`, people judge instead of simulated annotators, and it goes on after so many judged propositions.
    """
    began = time.monotonic()
    config = prepare(folder, simulated=0 if enough else SIMULATED)
    settings = load_settings(config)
    print(import_premises(settings, _example("premises.jsonl")).line())
    print(import_propositions(settings, _example("propositions.jsonl")).line(), flush=True)
    if enough is None:
        cycle(config=config)
    else:
        announced(asking(config))
        _wait_for_people(config, settings, enough)
        announced(learning(config))
    console.print(summary(config, settings, time.monotonic() - began))


def prepare(folder: Path, *, simulated: int) -> Path:
    """The settings file of the demo: the defaults, and so many simulated annotators. One that stands there stays."""
    path = folder / CONFIG_NAME
    text = template_text().replace("simulated_annotators = 0 ", f"simulated_annotators = {simulated} ")
    if path.exists():
        present = load_settings(path).annotation.simulated_annotators
        if bool(present) != bool(simulated):
            kind = "simulated annotators" if present else "people"
            raise InputError(f"{folder} holds a demo with {kind}; name another one with --folder")
        return path
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _example(name: str) -> Path:
    path = EXAMPLES / name
    if not path.is_file():
        raise InputError(f"{path} is missing: the demo runs from a clone of the repository, where the examples are")
    return path


def _wait_for_people(config: Path, settings: Settings, enough: int) -> None:
    """Pull until so many propositions are judged, and some of every split."""
    print(f"\nPlease judge now. {studio_login(settings)}")
    print(
        f"The demo goes on once {enough} propositions are judged; Ctrl-C stops it, the same command goes on from here."
    )
    shown = 0
    while True:
        # Every look as a flow run would fill the operator's list of runs.
        pull.fn(config)
        agree.fn(config)
        judged = judged_splits(settings)
        if sum(judged.values()) >= enough and all(judged.get(split) for split in ("train", "dev", "test")):
            return
        if sum(judged.values()) != shown:
            shown = sum(judged.values())
            print(f"  judged: {shown} of {enough} propositions", flush=True)
        time.sleep(SECONDS_BETWEEN_LOOKS)


def summary(config: Path, settings: Settings, seconds: float) -> Group:
    """What was made, where it stands, and what to try next."""
    odds = f"{Path(sys.argv[0])} --config {config}"
    tries = Text("\n".join(f'{odds} sql "{query}"' for query in QUERIES))
    simulated = settings.annotation.simulated_annotators
    origin = (
        f"All judgments come from {simulated} simulated annotators: the figures show that the pipeline works, "
        "and nothing about how people judge."
        if simulated
        else "The judgments come from people."
    )
    return Group(
        Text(f"\nThe demo took {seconds / 60:.1f} minutes.\n", style="bold"),
        as_table(status_of(settings)),
        Text(f"\n{origin}", style="yellow" if simulated else ""),
        Text(f"{studio_login(settings)}\n\nThree queries to try:"),
        Padding(tries, (0, 2)),
        Text(f"\nStop Label Studio: {odds} studio stop"),
    )
