"""The prompts of labelers, proposers and judges, and their versions: ids of all that changes what is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from synthesis.panel.settings import Judge, Labeler, MadeKind, Proposer
from synthesis.prompts.render import ANSWERS_OF_METHOD, AnswerKind, Prompt, prompt_for
from warehouse.records import ESTIMATOR, JudgeMode, LabelerVersion, content_id, labeler_id

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
    """The labeler's prompt. Raises InputError if there is none, or if it does not fit the method."""
    return prompt_for(labeler.prompt, f"the method {labeler.method}", ANSWERS_OF_METHOD[labeler.method])


def proposer_prompt(proposer: Proposer, kind: MadeKind) -> Prompt:
    """The proposer's prompt for a kind. Raises InputError if there is none, or if it asks for something else."""
    return prompt_for(proposer.prompt_of(kind), f"the kind {kind}", [ANSWER_OF_KIND[kind]])


def judge_prompts(judge: Judge) -> tuple[Prompt, Prompt]:
    """The judge's prompt and the one for summaries. Raises InputError if one of them asks for something else."""
    prompt = prompt_for(judge.prompt_name, f"the mode {judge.mode} of a judge", [ANSWER_OF_MODE[judge.mode]])
    return prompt, prompt_for(judge.summary_prompt, "summary_prompt of a judge", ["summary"])


def labeler_version(labeler: Labeler, prompt: Prompt) -> str:
    """The id of all that changes what the labeler is asked: model, method, prompt text and sampling.

    Name, endpoint, prices and limits are not part of it: the same model elsewhere is the same version.
    """
    settings = {"model": labeler.model, "method": labeler.method, **labeler.sampling, "samples": labeler.samples}
    return content_id("labeler", _as_text(settings | labeler.further), prompt.revision)


def labeler_row(labeler: Labeler) -> LabelerVersion:
    """The row of a labeler's version, marked as in use. Raises InputError as `labeler_prompt` does."""
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


def estimator_version(model_id: str) -> str:
    """The version of an estimator as a labeler: a hash of its id."""
    return content_id("labeler", "estimator", model_id)


def estimator_row(name: str, model_id: str) -> LabelerVersion:
    """The row of an estimator's version as a labeler, marked as in use."""
    version = estimator_version(model_id)
    return LabelerVersion(
        labeler_id=labeler_id(name, version),
        labeler=name,
        labeler_version=version,
        endpoint=ESTIMATOR,
        model=model_id,
        prompt=ESTIMATOR,
        prompt_version=version,
        method=ESTIMATOR,
        parameters="{}",
        in_use=True,
    )


def proposer_version(proposer: Proposer, kind: MadeKind, prompt: Prompt) -> str:
    """The id of all that changes what a proposer is asked for one kind: model, prompt text, sampling and count.

    For hypotheses also the target probabilities, in any order. Name, endpoint, prices, limits and `near_duplicates`,
    which only filters, are not part of it.
    """
    settings = {"kind": kind, "model": proposer.model, **proposer.sampling, "count": proposer.count_of(kind)}
    if kind == "proposed":
        settings["targets"] = sorted(proposer.targets)
    return content_id("proposer", _as_text(settings | proposer.further), prompt.revision)


def judge_version(judge: Judge, prompt: Prompt, summary_prompt: Prompt) -> str:
    """The id of all that changes what the judge is asked."""
    settings = {"model": judge.model, "mode": judge.mode, **judge.sampling, "summarise_above": judge.summarise_above}
    return content_id("judge", _as_text(settings | judge.further), prompt.revision, summary_prompt.revision)


def _as_text(settings: Mapping[str, Any]) -> str:
    return to_json(settings).decode()
