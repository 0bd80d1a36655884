"""Prompts that fit those who are asked, and their versions: ids of everything that changes what is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from synthesis.panel.settings import Judge, Labeler, MadeKind, Proposer
from synthesis.prompts.render import ANSWERS_OF_METHOD, AnswerKind, Prompt, prompt_for
from warehouse.records import JudgeMode, LabelerVersion, content_id, labeler_id

ANSWER_OF_KIND: Mapping[MadeKind, AnswerKind] = {
    "proposed": "hypotheses",
    "strengthened": "updates",
    "weakened": "updates",
    "negation": "variants",
    "paraphrase": "variants",
    "conjunction": "conjunction",
    "rewritten": "rewriting",
}
ANSWER_OF_MODE: Mapping[JudgeMode, AnswerKind] = {"confidence": "confidences", "keep_drop": "keep_drop"}


def labeler_prompt(labeler: Labeler) -> Prompt:
    """The labeler's prompt. Raises InputError where there is none, or its method does not read such answers."""
    return prompt_for(labeler.prompt, f"the method {labeler.method}", ANSWERS_OF_METHOD[labeler.method])


def proposer_prompt(proposer: Proposer, kind: MadeKind) -> Prompt:
    """The proposer's prompt for a kind. Raises InputError where there is none, or it asks for something else."""
    return prompt_for(proposer.prompt_of(kind), f"the kind {kind}", [ANSWER_OF_KIND[kind]])


def judge_prompts(judge: Judge) -> tuple[Prompt, Prompt]:
    """The judge's prompt and that for summaries. Raises InputError where they ask for what the judge does not read."""
    prompt = prompt_for(judge.prompt_name, f"the mode {judge.mode} of a judge", [ANSWER_OF_MODE[judge.mode]])
    return prompt, prompt_for(judge.summary_prompt, "summary_prompt of a judge", ["summary"])


def labeler_version(labeler: Labeler, prompt: Prompt) -> str:
    """The id of everything that changes what the labeler is asked: model, method, prompt text and sampling.

    The labeler's name, endpoint, prices and limits are left out: the same model elsewhere is the same version.
    """
    settings = {"model": labeler.model, "method": labeler.method, **labeler.sampling, "samples": labeler.samples}
    return content_id("labeler", _as_text(settings | labeler.further), prompt.revision)


def labeler_row(labeler: Labeler) -> LabelerVersion:
    """What the version of a labeler stands for, as a row that is in use. Raises InputError as `labeler_prompt` does."""
    prompt = labeler_prompt(labeler)
    version = labeler_version(labeler, prompt)
    own = {"mean_of_samples": {"samples": labeler.samples}, "pairwise": {"compared_with": labeler.compared_with}}
    return LabelerVersion(
        labeler_id=labeler_id(labeler.name, version),
        labeler=labeler.name,
        labeler_version=version,
        endpoint=labeler.endpoint,
        model=labeler.model,
        prompt=prompt.name,
        prompt_version=prompt.revision,
        method=labeler.method,
        parameters=_as_text({**labeler.sampling, **own.get(labeler.method, {}), **labeler.further}),
        in_use=True,
    )


def proposer_version(proposer: Proposer, kind: MadeKind, prompt: Prompt) -> str:
    """The id of everything that changes what a proposer is asked for one kind: model, prompt text, sampling, how many.

    For hypotheses also for which target probabilities; their order is left out, as are the name, the endpoint, prices,
    limits, and `near_duplicates`, which sorts what came.
    """
    settings = {"kind": kind, "model": proposer.model, **proposer.sampling, "count": proposer.count_of(kind)}
    if kind == "proposed":
        settings["targets"] = sorted(proposer.targets)
    return content_id("proposer", _as_text(settings | proposer.further), prompt.revision)


def judge_version(judge: Judge, prompt: Prompt, summary_prompt: Prompt) -> str:
    """The id of everything that changes what the judge is asked."""
    settings = {"model": judge.model, "mode": judge.mode, **judge.sampling, "summarise_above": judge.summarise_above}
    return content_id("judge", _as_text(settings | judge.further), prompt.revision, summary_prompt.revision)


def _as_text(settings: Mapping[str, Any]) -> str:
    return to_json(settings).decode()
