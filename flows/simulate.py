"""Simulate: simulated annotators judge in Label Studio as separate users, for demonstrations."""

from __future__ import annotations

from annotation.people.simulate import default_annotators
from annotation.people.simulate import simulate as simulate_in
from flows.settings.settings import Config, load_settings
from flows.stages.outcome import Outcome
from flows.stages.services import reading
from flows.stages.stage import stage
from flows.studio.connection import connecting
from flows.studio.projects import project_of, projects
from flows.terminal.progress import progress
from warehouse.errors import InputError
from warehouse.queries.stages import simulation_truths


@stage("simulate", hours=6)
def simulate(config: Config = None) -> Outcome:
    """Have simulated annotators give the missing judgments. Running it again adds nothing.

    They draw around `target_probability`, each with its own bias and noise: this shows how the pipeline works, not how
    people judge.
    """
    settings = load_settings(config)
    wanted = settings.annotation.simulated_annotators
    if not wanted:
        raise InputError("annotation.simulated_annotators is 0: set it to 1 or more, only in a demonstration")
    connected = connecting(settings)
    with reading(settings) as warehouse:
        client = connected()
        truths = simulation_truths(warehouse)
        found = [(one, project_of(warehouse, client, one)) for one in projects(settings, purpose="study")]
    made = 0
    for one, remote in found:
        with progress("simulate") as tick:
            made += simulate_in(
                client,
                remote.id,
                default_annotators(wanted),
                truths,
                per_proposition=one.judgments_per_proposition,
                on_progress=tick,
            )
    return Outcome(stage="simulate", counts={"simulated annotators": wanted, "simulated judgments": made})
