"""Judge: where the panel disagrees, a judge model says how far it trusts each answer."""

from __future__ import annotations

from flows.llm_runs.jobs import Job, RunOptions
from flows.llm_runs.run import run_jobs
from flows.settings.settings import Config, Settings, load_settings
from flows.stages.outcome import Outcome
from flows.stages.services import writing_for_llm_run
from flows.stages.stage import stage
from synthesis.panel.versions import judge_prompts, judge_version
from synthesis.questions.judge import verdicts
from warehouse.catalog.connect import Warehouse
from warehouse.queries.pending import count_disagreements, pending_disagreements

STAGE = "judge"


@stage(STAGE, hours=72, asks=True)
def judge(config: Config = None, max_cost: float | None = None, batch: bool = False) -> Outcome:
    """Judge the propositions whose estimates differ by more than the threshold and that have no verdict yet.

    Args:
        config: the settings.
        max_cost: what the run may cost, in the currency of the prices.
        batch: use the batch interface.

    Raises:
        InputError: the settings cannot be used.
        ServiceError: the endpoint does not answer.
    """
    settings = load_settings(config)
    settings.check_labelers()
    with writing_for_llm_run(settings) as warehouse:
        return run_jobs(settings, warehouse, STAGE, jobs(settings, warehouse), RunOptions(max_cost, batch))


def jobs(settings: Settings, warehouse: Warehouse) -> list[Job]:
    """What is left to ask the judge. Raises `InputError` for a prompt that does not fit, even if nothing is left."""
    judge_config = settings.judge
    version = judge_version(judge_config, *judge_prompts(judge_config))
    labelers = [labeler.name for labeler in settings.llms]  # estimators give no reasons
    which = (judge_config.name, version, judge_config.threshold, labelers)
    count = count_disagreements(warehouse, *which)
    return [Job(judge_config, count, lambda: verdicts(pending_disagreements(warehouse, *which), judge_config))]
