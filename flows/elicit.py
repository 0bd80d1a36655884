"""Elicit: every labeler of the panel estimates, or compares, what it has not been asked about yet."""

from __future__ import annotations

from flows.estimators.own_estimates import estimate_own, own_labelers
from flows.llm_runs.jobs import Job, RunOptions, check_prices
from flows.llm_runs.run import run_jobs
from flows.settings.settings import Config, Settings, load_settings
from flows.stages.outcome import Outcome
from flows.stages.services import writing, writing_for_llm_run
from flows.stages.stage import stage
from synthesis.panel.settings import Labeler
from synthesis.panel.versions import labeler_prompt, labeler_row, labeler_version
from synthesis.questions.compare import comparisons
from synthesis.questions.elicit import estimates
from warehouse.catalog.connect import Warehouse
from warehouse.queries.labelers import renew_panel
from warehouse.queries.pending import count_comparisons, count_estimates, pending_comparisons, pending_estimates
from warehouse.queries.suites import suite_of_name, unestimated_items
from warehouse.records import LabelerVersion

STAGE = "elicit"


@stage(STAGE, hours=72, asks=True)
def elicit(
    config: Config = None, max_cost: float | None = None, batch: bool = False, suite: str | None = None
) -> Outcome:
    """Elicit the missing estimates. A reply without a probability is refused with a reason, never guessed.

    From now on, the labelers of the settings are the panel; see the table `labelers`. Those that are estimators come
    first: they are scored at no cost.

    Args:
        config: the settings.
        max_cost: what the run may cost, in the currency of the prices.
        batch: use the batch interface.
        suite: estimate the propositions of this evaluation set instead, so that odds evaluate measures the labelers.

    Raises:
        InputError: the settings cannot be used, or there is no such suite.
        ServiceError: an endpoint does not answer; what was estimated until then is kept.
    """
    settings = load_settings(config)
    settings.check_labelers()
    rows, before = _estimators(settings, suite)
    with writing_for_llm_run(settings) as warehouse:
        pending = jobs(settings, warehouse, suite)
        options = RunOptions(max_cost, batch, before)
        check_prices(settings, [each for each in pending if each.count], options)
        renew_panel(warehouse, [*map(labeler_row, settings.llms), *rows])
        return run_jobs(settings, warehouse, STAGE, pending, options)


def _estimators(settings: Settings, suite: str | None) -> tuple[list[LabelerVersion], Outcome | None]:
    """Have the labelers that are estimators estimate. Returns their rows and what they did; None without any."""
    if not settings.estimators:
        return [], None
    with writing(settings) as warehouse:  # before the run with little memory, where no estimator can be loaded
        suite_id = None if suite is None else suite_of_name(warehouse, suite).suite_id
        own = own_labelers(settings, warehouse)
        return [each.row for each in own], estimate_own(settings, warehouse, own, suite_id) if own else None


def jobs(settings: Settings, warehouse: Warehouse, suite: str | None = None) -> list[Job]:
    """What is left to ask each LLM, or what about a suite, of which those that compare are not asked.

    Raises:
        InputError: there are no labelers, or a prompt does not fit, even if nothing is left; or there is no such suite.
    """
    settings.check_labelers()
    return (
        [_job(each, warehouse) for each in settings.llms] if suite is None else _suite_jobs(settings, warehouse, suite)
    )


def _suite_jobs(settings: Settings, warehouse: Warehouse, name: str) -> list[Job]:
    suite_id = suite_of_name(warehouse, name).suite_id
    return [_suite_job(labeler, warehouse, suite_id) for labeler in settings.llms if labeler.method != "pairwise"]


def _suite_job(labeler: Labeler, warehouse: Warehouse, suite_id: str) -> Job:
    version = labeler_version(labeler, labeler_prompt(labeler))
    pending = unestimated_items(warehouse, suite_id, labeler.name, version)
    return Job(labeler, len(pending), lambda: estimates(iter(pending), labeler))


def _job(labeler: Labeler, warehouse: Warehouse) -> Job:
    name, version = labeler.name, labeler_version(labeler, labeler_prompt(labeler))
    if labeler.method == "pairwise":
        which = (name, version, labeler.compared_with)
        count = count_comparisons(warehouse, *which)
        return Job(labeler, count, lambda: comparisons(pending_comparisons(warehouse, *which), labeler))
    count = count_estimates(warehouse, name, version)
    return Job(labeler, count, lambda: estimates(pending_estimates(warehouse, name, version), labeler))
