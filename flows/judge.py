"""Judge: where the panel disagrees, have a judge model say how far it trusts each answer."""

from __future__ import annotations

from collections.abc import Iterator

from flows.llm_runs.run import Job, RunOptions, run_jobs
from flows.outcome import Outcome
from flows.services import writing_for_llm_run
from flows.settings.settings import Config, Settings, load_settings
from flows.stage import stage
from synthesis.panel.versions import judge_prompts, judge_version
from synthesis.questions.judge import verdicts
from synthesis.questions.question import Question
from warehouse.catalog.connect import Warehouse
from warehouse.queries.pending import count_disagreements, pending_disagreements

STAGE = "judge"


@stage(STAGE, hours=72, asks=True)
def judge(config: Config = None, max_cost: float | None = None, batch: bool = False) -> Outcome:
    """Judge the propositions whose estimates differ by more than the threshold and that have no verdict yet.

    `max_cost` is what the run may cost, in the currency of the prices; `batch` asks through the batch interface.
    Raises `InputError` for settings that cannot be used and `ServiceError` where the endpoint does not answer.
    """
    settings = load_settings(config)
    _ = settings.panel
    with writing_for_llm_run(settings) as warehouse:
        return run_jobs(settings, warehouse, STAGE, jobs(settings, warehouse), RunOptions(max_cost, batch))


def jobs(settings: Settings, warehouse: Warehouse) -> list[Job]:
    """What the judge is still to be asked. Raises `InputError` for a prompt that does not fit, pending or not."""
    judge_config = settings.judge
    version = judge_version(judge_config, *judge_prompts(judge_config))
    labelers = [labeler.name for labeler in settings.panel]
    which = (judge_config.name, version, judge_config.threshold, labelers)

    def questions() -> Iterator[Question]:
        return verdicts(pending_disagreements(warehouse, *which), judge_config)

    return [Job(judge_config, count_disagreements(warehouse, *which), questions)]
