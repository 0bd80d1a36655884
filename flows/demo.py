"""Demo: the main job on embedded defaults, with simulated annotators or with you."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from flows.agree import agree
from flows.console import out, say
from flows.cycle import announced, asking, cycle, learning
from flows.imports import import_premises, import_propositions
from flows.pull import pull
from flows.services import judged_splits
from flows.settings import CONFIG_NAME, Settings, load_settings
from flows.status import as_table, status_of
from flows.studio import studio_login
from flows.template import template_text
from warehouse.errors import InputError

SIMULATED = 5
SECONDS_BETWEEN_LOOKS = 10
EXAMPLES = Path(__file__).parents[1] / "examples"
CHANGED = {"epochs = 3\n": "epochs = 2                          # for a shorter demo; the default is 3\n"}
QUERIES = (
    "SELECT stage, n, n_simulated FROM progress ORDER BY position",
    "SELECT hypothesis, consensus_mean, consensus_sd FROM proposition_overview ORDER BY consensus_sd DESC LIMIT 5",
    "SELECT labeler, method, n_estimates, n_distinct, pearson FROM labeler_quality",
)


def run_demo(folder: Path, enough: int | None) -> None:
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
    summary(config, settings, time.monotonic() - began)


def prepare(folder: Path, *, simulated: int) -> Path:
    """The settings file of the demo, which stays once it stands there: the defaults, but for what `CHANGED` says."""
    path = folder / CONFIG_NAME
    if path.exists():
        present = load_settings(path).annotation.simulated_annotators
        if bool(present) != bool(simulated):
            kind = "simulated annotators" if present else "people"
            raise InputError(f"{folder} holds a demo with {kind}; name another one with --folder")
        return path
    text = template_text()
    for default, changed in CHANGED.items():
        text = text.replace(default, changed)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(text.replace("simulated_annotators = 0 ", f"simulated_annotators = {simulated} "), encoding="utf-8")
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
        f"The demo goes on once {enough} propositions are judged; Ctrl-C stops it, the same command goes on from here.",
        flush=True,
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


def summary(config: Path, settings: Settings, seconds: float) -> None:
    """Print what was made, where it stands, and what to try next."""
    odds = f"{os.path.relpath(sys.argv[0])} --config {config}"
    simulated = settings.annotation.simulated_annotators
    say(f"\nThe demo took {seconds / 60:.1f} minutes.\n")
    out.print(as_table(status_of(settings)))
    if simulated:
        say(f"\nAll judgments come from {simulated} simulated annotators: the figures show that the pipeline works,")
        say("and nothing about how people judge.")
    say(f"\n{studio_login(settings)}")
    say("\nThree queries to try:")
    for query in QUERIES:
        say(f'  {odds} sql "{query}"')
    say(f"\nStop Label Studio: {odds} studio stop")
