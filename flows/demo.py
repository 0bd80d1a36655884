"""Demo: the whole pipeline on embedded defaults, with simulated annotators or with you."""

from __future__ import annotations

import os
import re
import sys
import time
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from flows.agree import agree
from flows.cycle import announced, cycle, in_turn, learning, llm_stages
from flows.imports import import_propositions
from flows.pull import pull
from flows.push import push
from flows.recalibrate import recalibrate
from flows.settings.settings import CONFIG_NAME, Settings, load_settings
from flows.settings.template import template_text
from flows.stages.outcome import Outcome
from flows.stages.services import judged_splits, reading
from flows.status import as_table, status
from flows.studio.connection import starting_beside, studio_login
from flows.terminal.activity import activity
from flows.terminal.console import out, say
from flows.terminal.tables import narrow_table
from warehouse.errors import InputError

SIMULATED = 5
SECONDS_BETWEEN_LOOKS = 10
EXAMPLES = Path(__file__).parents[1] / "examples" / "demo.jsonl"
CHANGED = {
    "max_in_flight = 4": "max_in_flight = 1",  # one after the other, so that a prompt's beginning is read once
    "targets = [0.1, 0.3, 0.5, 0.7, 0.9]": "targets = [0.7]",
    "epochs = 3": "epochs = 4",
    "batch_size = 16": "batch_size = 8",
    "# max_minutes = 30": "max_minutes = 1.2",
    'prompt = "verbalised_short"': 'prompt = "verbalised_brief"',
    "threshold = 0.5": "threshold = 0.95",
}
"""Where the demo differs from the defaults, to finish within minutes on two slow cores."""
QUERIES = (
    "SELECT stage, n, n_simulated FROM progress ORDER BY position",
    "SELECT hypothesis, consensus_mean, consensus_sd FROM proposition_overview ORDER BY consensus_sd DESC LIMIT 5",
    "SELECT labeler, method, n_estimates, n_distinct, pearson FROM labeler_quality",
)


def demo(folder: Path | str = "demo", *, enough: int | None = None, open_report: bool = False) -> list[Outcome]:
    """Run every stage on embedded defaults and a few examples, and print a summary. Run again, it continues.

    Args:
        folder: Where the demo lives; it is created if needed.
        enough: People judge instead of simulated annotators; the demo continues after this many judged propositions.
        open_report: Open the report in a browser at the end.

    Returns:
        The outcome of each stage.
    """
    began, folder = time.monotonic(), Path(folder)
    config = prepare(folder, simulated=0 if enough else SIMULATED)
    settings = load_settings(config)
    with starting_beside(settings):
        with activity("reading the examples"):
            imported = import_propositions(_examples(), config=settings)
        say(imported.line())
        outcomes = [imported.model_copy(update={"seconds": time.monotonic() - began})]
        if enough is None:
            outcomes += cycle(settings)
        else:
            outcomes += announced(*llm_stages(settings), in_turn(settings, push))
            _wait_for_people(settings, enough)
            outcomes += announced(in_turn(settings, recalibrate), learning(settings))
    summary(config, settings, outcomes, time.monotonic() - began, open_report=open_report)
    return outcomes


def prepare(folder: Path, *, simulated: int) -> Path:
    """Return the settings file of the demo, written on the first call: the defaults with the changes of `CHANGED`."""
    path = folder / CONFIG_NAME
    if path.exists():
        present = load_settings(path).annotation.simulated_annotators
        if bool(present) != bool(simulated):
            kind = "simulated annotators" if present else "people"
            raise InputError(f"{folder} holds a demo with {kind}; use another folder with --folder")
        return path
    text = template_text()
    own = CHANGED | {"simulated_annotators = 0": f"simulated_annotators = {simulated}"}
    for default, changed in own.items():
        text = re.sub(rf"(?m)^{re.escape(default)}( .*)?$", f"{changed:<35} # set for the demo", text)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _examples() -> Path:
    if not EXAMPLES.is_file():
        raise InputError(f"{EXAMPLES} is missing: run the demo from a clone of the repository, which has the examples")
    return EXAMPLES


def _wait_for_people(settings: Settings, enough: int) -> None:
    """Pull until enough propositions are judged, with some in every split."""
    with reading(settings) as warehouse:
        there = warehouse.sql("SELECT count(*) AS n FROM propositions")["n"][0].as_py()
    enough = min(enough, there)
    say(f"\nPlease judge now. {studio_login(settings)}")
    say(
        f"The demo continues when {enough} of the {there} propositions are judged. Ctrl-C stops it; run the same "
        "command again to continue."
    )
    shown = 0
    while True:
        # not as flow runs, which would fill the operator's list of runs
        pull.fn(settings)
        agree.fn(settings)
        judged = judged_splits(settings)
        if sum(judged.values()) >= enough and all(judged.get(split) for split in ("train", "dev", "test")):
            return
        if sum(judged.values()) != shown:
            shown = sum(judged.values())
            say(f"  judged: {shown} of {enough} propositions")
        time.sleep(SECONDS_BETWEEN_LOOKS)


def summary(
    config: Path, settings: Settings, outcomes: Sequence[Outcome], seconds: float, *, open_report: bool
) -> None:
    """Print what was made, how long it took, what to try next, and how to open the report."""
    odds = f"{os.path.relpath(sys.argv[0])} --config {config}"
    simulated = settings.annotation.simulated_annotators
    found = status(config=settings)
    say("")
    out.print(as_table(found, with_empty=False))
    say("")
    out.print(_times(outcomes, seconds))
    if simulated:
        say(f"\nAll judgments come from {simulated} simulated annotators: the figures show that the pipeline works,")
        say("not how people judge.")
    say(f"\n{studio_login(settings)}")
    say("\nThree queries to try:")
    for query in QUERIES:
        say(f'  {odds} sql "{query}"')
    say(f"\nStop Label Studio: {odds} studio stop")
    if report := found["report"]:
        say(f"\nReport: {report}")
        say(_opened(Path(report)) if open_report else f"Open it: {_again(config)} --open, or that file in a browser")


def _times(outcomes: Sequence[Outcome], seconds: float) -> Table:
    """Return a table of how long each stage took."""
    table = narrow_table("stage", "seconds")
    for outcome in outcomes:
        table.add_row(outcome.stage, f"{outcome.seconds:.0f}")
    rest = seconds - sum(outcome.seconds for outcome in outcomes)
    table.add_row("the rest", f"{rest:.0f}", end_section=True)
    table.add_row("all", f"{seconds:.0f}")
    return table


def _again(config: Path) -> str:
    """Return the command that runs the same demo again."""
    folder = "" if config.parent == Path("demo") else f" --folder {config.parent}"
    return f"{os.path.relpath(sys.argv[0])} demo{folder}"


def _opened(report: Path) -> str:
    """Open the report in a browser. Returns a line that says whether it worked."""
    shown = sys.platform != "linux" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
    # without a display, this would start a browser in the terminal
    if shown and webbrowser.open(report.as_uri()):
        return "It is open in your browser."
    return "There is no browser here: copy the file to a machine that has one. It needs no other files."
