"""The card of a merged estimator: what it was fitted on, how good it is, and how to ask it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warehouse.files.markdown import code, fenced, plain
from warehouse.records import Dataset, Evaluation, Model
from warehouse.shards import SPLITS, Manifest

if TYPE_CHECKING:
    from training.model.calibration import Calibration
    from training.model.saved import EstimatorInfo

CARD = "README.md"


@dataclass(frozen=True)
class Lineage:
    """Everything that the card tells.

    Attributes:
        manifest: That of the dataset; None if its files are gone.
        figures: The figures of the estimator, if it was evaluated.
        prompt: The prompt with {premise} and {hypothesis} in their places; None for an encoder.
        special_tokens: Whether the tokenizer adds special tokens around the prompt.
        calibration: What was fitted on dev after the fit; None if dev was too small.
    """

    model: Model
    dataset: Dataset
    manifest: Manifest | None
    figures: Sequence[Evaluation]
    info: EstimatorInfo
    prompt: str | None
    special_tokens: bool
    calibration: Calibration | None = None


def model_card(lineage: Lineage) -> str:
    """Return the card as Markdown, with the front matter of a Hugging Face model card."""
    return "\n".join(
        [
            _front_matter(lineage),
            f"# {plain(lineage.model.name)}: estimator {lineage.model.model_id}\n",
            _opening(lineage),
            _asking(lineage),
            _intervals(lineage.calibration),
            _metrics(lineage),
            _data(lineage),
            _fit(lineage),
        ]
    )


def _front_matter(lineage: Lineage) -> str:
    # The licence of the weights follows from that of the base, which a folder of weights does not state.
    lines = ["license: other", "license_name: see-card", "library_name: transformers"]
    lines += ["pipeline_tag: text-classification" if lineage.prompt is None else "pipeline_tag: text-generation"]
    if lineage.info.base_sha256 is None:
        lines += [f"base_model: {json.dumps(lineage.info.base)}"]
    return "\n".join(["---", *lines, "tags:", "- probability", "- uncertainty", "---", ""])


def _opening(lineage: Lineage) -> str:
    return (
        "How likely is a hypothesis, given a premise? The model answers with a distribution over "
        f"{lineage.info.levels} levels of probability; level i stands for (i + 0.5) / {lineage.info.levels}, and the "
        f"mean is the score.\n\n{_simulated(lineage.dataset)}\n"
    )


def _simulated(dataset: Dataset) -> str:
    if not dataset.n_judgments:
        return "It was fitted without human judgments: every probability was an estimate of a language model."
    if not dataset.n_simulated:
        return "None of the judgments behind it come from simulated annotators."
    return (
        f"**{dataset.n_simulated:,} of the {dataset.n_judgments:,} judgments behind it come from simulated "
        "annotators.** What it learned from them says nothing about how people judge."
    )


def _asking(lineage: Lineage) -> str:
    snippet = _pair_snippet(lineage) if lineage.prompt is None else _prompt_snippet(lineage, lineage.prompt)
    parts = ["## How to ask it", "", fenced(snippet, "python"), ""]
    if lineage.prompt is not None:
        served = (
            "A server of language models, such as vLLM, takes the same prompt as a completion of one token; the "
            "log-probabilities of the level tokens, normalised over the levels, are the distribution."
        )
        parts += [served, ""]
    parts += [f"Prompts had at most {lineage.info.max_length} tokens; the start of longer premises was cut.", ""]
    return "\n".join(parts)


def _prompt_snippet(lineage: Lineage, prompt: str) -> str:
    before, _, rest = prompt.partition("{premise}")
    between, _, after = rest.partition("{hypothesis}")
    levels, special = lineage.info.levels, lineage.special_tokens
    return f"""\
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "path/to/this/folder"
tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
premise, hypothesis = "It rains.", "The street is wet."

prompt = {_quoted(before)} + premise + {_quoted(between)} + hypothesis + {_quoted(after)}
ids = tokenizer(prompt, add_special_tokens={special}, return_tensors="pt").input_ids
levels = tokenizer.convert_tokens_to_ids([f" <|label_level_{{i}}|>" for i in range({levels})])
with torch.inference_mode():
    logits = model(ids).logits[0, -1, levels].double()
distribution = torch.softmax(logits / {lineage.info.temperature}, dim=0)
score = float(distribution @ ((torch.arange({levels}) + 0.5) / {levels}).double())"""


def _pair_snippet(lineage: Lineage) -> str:
    levels = lineage.info.levels
    return f"""\
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

folder = "path/to/this/folder"
tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
head = load_file(folder + "/levels.safetensors")["rows"]
premise, hypothesis = "It rains.", "The street is wet."

segments = getattr(model.config, "type_vocab_size", 0) > 1
pair = tokenizer(premise, hypothesis, return_tensors="pt", return_token_type_ids=segments)
with torch.inference_mode():
    logits = (model(**pair).last_hidden_state.mean(dim=1) @ head.T)[0].double()
distribution = torch.softmax(logits / {lineage.info.temperature}, dim=0)
score = float(distribution @ ((torch.arange({levels}) + 0.5) / {levels}).double())"""


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _intervals(of: Calibration | None) -> str:
    if of is None:
        lacking = "None were fitted: dev had too few judged propositions, or an older version fitted the estimator."
        return "\n".join(["## Intervals", "", lacking, ""])
    judgment, consensus = of.widths["judgment"], of.widths["consensus"]
    told = (
        f"The score plus and minus {judgment:.4g} SDs of the distribution holds {of.coverage:.0%} of single judgments, "
        f"plus and minus {consensus:.4g} SDs {of.coverage:.0%} of consensus means, on average over propositions like "
        f"those of dev: {of.n_propositions:,} with {of.n_judgments:,} judgments, {of.n_simulated:,} of them simulated. "
        "The SD takes the mass of a level as spread evenly over its bin."
    )
    if of.map is None:
        return "\n".join(["## Intervals", "", told, ""])
    mapped = (
        f"Here the score is the one above mapped by {of.map_name}, which is in `calibration.json` and which "
        f"`odds score` applies. By maps fitted on other premises, the mean squared error on dev changed from "
        f"{of.mse:.4f} to {of.mapped_mse:.4f}."
    )
    return "\n".join(["## Intervals", "", told, "", mapped, ""])


def _metrics(lineage: Lineage) -> str:
    lines = ["## Figures", ""]
    if not lineage.figures:
        return "\n".join([*lines, "Not evaluated.", ""])
    lines += [
        "| suite | metric | value | 95% interval | propositions | on simulated judgments |",
        "|---|---|---|---|---|---|",
    ]
    for each in sorted(lineage.figures, key=lambda one: (one.suite, one.metric)):
        interval = "" if each.low is None or each.high is None else f"{each.low:.4f} to {each.high:.4f}"
        value = "not defined" if each.value is None else f"{each.value:.4f}"
        lines.append(
            f"| {plain(each.suite)} | {plain(each.metric)} | {value} | {interval} | {each.n:,} | {each.n_simulated:,} |"
        )
    return "\n".join([*lines, ""])


def _data(lineage: Lineage) -> str:
    dataset, manifest = lineage.dataset, lineage.manifest
    which = (
        f"{plain(dataset.name)} v{dataset.version} (`{dataset.dataset_id}`, snapshot {dataset.snapshot_id} of the "
        f"warehouse), with {dataset.n_judgments:,} judgments, {dataset.n_simulated:,} of them simulated."
    )
    lines = ["## Data", "", which, ""]
    if manifest is None:
        return "\n".join([*lines, "Its files are gone, so its sources and licences are no longer known.", ""])
    lines += ["| part | " + " | ".join(SPLITS) + " |", "|---" * (len(SPLITS) + 1) + "|"]
    counts = [("human", manifest.origins["human"]), ("synthetic", manifest.origins["synthetic"])]
    for name, found in (*counts, ("order pairs", manifest.pairs)):
        lines.append(f"| {name} | " + " | ".join(f"{found[split]:,}" for split in SPLITS) + " |")
    lines += ["", "| source | licence | premises |", "|---|---|---|"]
    lines += [f"| {plain(each.source)} | {plain(each.licence)} | {each.premises:,} |" for each in manifest.licences]
    return "\n".join([*lines, ""])


def _fit(lineage: Lineage) -> str:
    model, info = lineage.model, lineage.info
    base = f"{code(info.base)}" + (f", SHA-256 of its files' ends `{info.base_sha256}`" if info.base_sha256 else "")
    loss = "not known" if model.dev_loss is None else f"{model.dev_loss:.4f}"
    licence = f"- Base: {base}. Its licence also holds for these weights."
    made = (
        f"- Fitted on {model.created_at:%Y-%m-%d} by odds {model.code_version}: {model.steps:,} steps in "
        f"{model.duration_s:,.0f} s, best loss on dev {loss}."
    )
    settings = json.loads(model.settings)
    for name, known in (("base", info.base), ("teacher", None)):
        if Path(settings.get(name) or "").is_absolute():  # a path of this machine means nothing elsewhere
            settings[name] = known or Path(settings[name]).name
    lines = [licence, made, *_taught(settings)]
    return "\n".join(["## Fit", "", *lines, "", fenced(json.dumps(settings, indent=2), "json"), ""])


def _taught(settings: dict[str, Any]) -> list[str]:
    """Return the line about the teacher of a fit, if it had one."""
    if (teacher := settings.get("teacher")) is None:
        return []
    name, weight = code(Path(teacher).name), f"{settings['teacher_weight']:g}"
    return [f"- It also learned what the estimator {name} answers (weight {weight}), and so from the data of that one."]
