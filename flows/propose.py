"""Propose: an LLM writes hypotheses for premises, and derives propositions from existing ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from flows.llm_runs.jobs import Job, RunOptions
from flows.llm_runs.run import run_jobs
from flows.settings.settings import Config, Settings, load_settings
from flows.stages.outcome import Outcome
from flows.stages.services import writing_for_llm_run
from flows.stages.stage import stage
from synthesis.panel.settings import DerivedKind, MadeKind, Proposer
from synthesis.panel.versions import proposer_prompt, proposer_version
from synthesis.prompts.render import Prompt
from synthesis.questions.dedup import Recent
from synthesis.questions.derive import derivations
from synthesis.questions.propose import proposals
from synthesis.questions.question import Question
from warehouse.catalog.connect import Warehouse
from warehouse.queries.pending import count_parents, count_premises, pending_parents, pending_premises
from warehouse.records import Split, split_of

STAGE = "propose"


@stage(STAGE, hours=72, asks=True)
def propose(config: Config = None, max_cost: float | None = None, batch: bool = False) -> Outcome:
    """Propose for every premise and proposition that this version of the proposer has not handled yet.

    Hypotheses come first; derived propositions follow, and the new hypotheses are among their parents.

    Args:
        config: the settings.
        max_cost: what the run may cost, in the currency of the prices.
        batch: use the batch interface.

    Raises:
        InputError: the settings cannot be used.
        ServiceError: the endpoint does not answer; what was proposed until then is kept.
    """
    settings, options = load_settings(config), RunOptions(max_cost, batch)
    for kind in settings.proposer.kinds:
        proposer_prompt(settings.proposer, kind)  # fail before anything is paid for
    with writing_for_llm_run(settings) as warehouse:
        first = run_jobs(settings, warehouse, STAGE, hypotheses(settings, warehouse), options)
        later = derived(settings, warehouse)
        if not later or first.stopped:
            return first
        return run_jobs(settings, warehouse, STAGE, later, replace(options, before=first))


def jobs(settings: Settings, warehouse: Warehouse) -> list[Job]:
    """What is left to propose, as far as the parents exist by now."""
    return [*hypotheses(settings, warehouse), *derived(settings, warehouse)]


def hypotheses(settings: Settings, warehouse: Warehouse) -> list[Job]:
    """The premises that need hypotheses."""
    proposer = settings.proposer
    if "proposed" not in proposer.kinds:
        return []
    which = _asked_by(proposer, "proposed", proposer_prompt(proposer, "proposed"))

    def split(premise: str) -> Split:
        return split_of(premise, settings.splits.train, settings.splits.dev)

    def questions() -> Iterator[Question]:
        return proposals(pending_premises(warehouse, **which), proposer, split)

    return [Job(proposer, count_premises(warehouse, **which), questions, what="proposed")]


def derived(settings: Settings, warehouse: Warehouse) -> list[Job]:
    """The propositions to derive others from, for each kind."""
    proposer = settings.proposer
    recent = Recent()
    return [_derived(warehouse, proposer, kind, recent) for kind in proposer.kinds if kind != "proposed"]


def _derived(warehouse: Warehouse, proposer: Proposer, kind: DerivedKind, recent: Recent) -> Job:
    prompt = proposer_prompt(proposer, kind)
    which = _asked_by(proposer, kind, prompt) | {"prompt": prompt.name}

    def questions() -> Iterator[Question]:
        return derivations(pending_parents(warehouse, kind, **which), proposer, kind, recent)

    return Job(proposer, count_parents(warehouse, kind, **which), questions, what=kind)


def _asked_by(proposer: Proposer, kind: MadeKind, prompt: Prompt) -> dict[str, str]:
    """The proposer and its version for a kind, and what identified that before requests had a version."""
    version = proposer_version(proposer, kind, prompt)
    return {
        "asker": proposer.name,
        "asker_version": version,
        "model": proposer.model,
        "prompt_version": prompt.revision,
    }
