"""The data card of a training set, for people and for `datasets.load_dataset(folder)`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from warehouse.files.markdown import fenced, plain
from warehouse.shards import HUB_SPLITS, SPLITS, Manifest, Part, columns_of

UNKNOWN = "unknown"


def card_of(manifest: Manifest) -> str:
    """Return the card as Markdown, with the front matter of a Hugging Face dataset card."""
    sections = [
        _front_matter(manifest),
        f"# {manifest.name} v{manifest.version}\n",
        _opening(manifest),
        _counts(manifest),
        *(_columns(part) for part in ("propositions", "pairs") if _has(manifest, part)),
        _licences(manifest),
        _provenance(manifest),
    ]
    return "\n".join(sections)


def _has(manifest: Manifest, part: Part) -> bool:
    return any(file.part == part for file in manifest.files)


def _front_matter(manifest: Manifest) -> str:
    lines = [
        "---",
        f"pretty_name: {json.dumps(f'{manifest.name} v{manifest.version}')}",
        f"license: {_scalar(_hub_licence(manifest))}",
    ]
    lines += ["task_categories:", "- text-classification", "tags:", "- probability", "- uncertainty", "configs:"]
    for part, config, prefix in (("propositions", "default", ""), ("pairs", "pairs", "pairs-")):
        found = [split for split in SPLITS if any((f.part, f.split) == (part, split) for f in manifest.files)]
        if found:
            lines += [f"- config_name: {config}", "  data_files:"]
            for split in found:
                lines += [f"  - split: {HUB_SPLITS[split]}", f'    path: "{prefix}{split}-*.parquet"']
    return "\n".join([*lines, "---", ""])


def _hub_licence(manifest: Manifest) -> str:
    known = {each.licence for each in manifest.licences}
    if len(known) == 1:
        return known.pop().lower()
    return "other" if known and UNKNOWN not in known else UNKNOWN


def _scalar(text: str) -> str:
    """The text as a YAML value, quoted unless it is plain."""
    return text if re.fullmatch(r"[A-Za-z][\w.-]*", text) else json.dumps(text)


def _opening(manifest: Manifest) -> str:
    total = manifest.n_judgments
    if total == 0:
        simulated = "It has no human judgments; every probability is an estimate of a language model."
    elif manifest.n_simulated == 0:
        simulated = f"None of its {total:,} judgments come from simulated annotators."
    else:
        simulated = (
            f"**{manifest.n_simulated:,} of its {total:,} judgments come from simulated annotators**. Such rows say "
            "nothing about how people judge; see the column `n_simulated`."
        )
    if manifest.n_simulated_estimates:
        simulated += f" {manifest.n_simulated_estimates:,} estimates were recalibrated on simulated judgments."
    return (
        "How likely is a hypothesis, given a premise? Each row is a proposition with the probability, in [0, 1], that "
        f"annotators or labelers gave it.\n\n{simulated}\n"
    )


def _counts(manifest: Manifest) -> str:
    rows = [("human", manifest.origins["human"], manifest.recipe.human_weight)]
    rows.append(("synthetic", manifest.origins["synthetic"], manifest.recipe.synthetic_weight))
    rows.append(("order pairs", manifest.pairs, manifest.recipe.pairs_weight))
    lines = ["## Rows", "", "| part | train | dev | test | weight in training |", "|---|---|---|---|---|"]
    for name, counts, weight in rows:
        lines.append(f"| {name} | " + " | ".join(f"{counts[split]:,}" for split in SPLITS) + f" | {weight:g} |")
    if weights := manifest.recipe.source_weights:
        lines += [
            "",
            "Weights are multiplied by source: " + ", ".join(f"{plain(n)} {w:g}" for n, w in weights.items()) + ".",
        ]
    kept = "No premise is in two splits, and premises share a split if one was derived from the other"
    if manifest.recipe.near_duplicates:
        kept += f" or if they share {manifest.recipe.near_duplicates:.0%} of their words (Jaccard similarity)"
    told = (
        f"Human rows are based on {manifest.n_judgments:,} judgments; {manifest.n_estimates:,} estimates of language "
        "models complement or replace them. An order pair says which of two propositions is likelier: because it was "
        "written that way (strengthened, weakened), because labelers asked in both orders agree (compared), "
        "or because one is the right answer to a question (chosen). "
        f"{kept}."
    )
    return "\n".join([*lines, "", told, "`datasets` calls dev `validation`.", ""])


def _columns(part: Part) -> str:
    lines = [f"## Columns of {part}", "", "| column | type | meaning |", "|---|---|---|"]
    lines += [f"| {each.name} | {each.type} | {each.meaning} |" for each in columns_of(part)]
    return "\n".join([*lines, ""])


def _licences(manifest: Manifest) -> str:
    lines = ["## Licences of the premises", "", "| licence | source | premises |", "|---|---|---|"]
    lines += [f"| {plain(each.licence)} | {plain(each.source)} | {each.premises:,} |" for each in manifest.licences]
    if any(each.licence == UNKNOWN for each in manifest.licences):
        lines += ["", "If a licence is unknown, ask the source before you pass the texts on."]
    return "\n".join([*lines, ""])


def _provenance(manifest: Manifest) -> str:
    made = (
        f"Dataset `{manifest.dataset_id}`, made on {manifest.created_at:%Y-%m-%d} from snapshot {manifest.snapshot_id} "
        f"of the warehouse by odds {manifest.code_version}, with the consensus method `{manifest.recipe.consensus}`. "
        "`manifest.json` has the queries for the rows and the hash of every file."
    )
    return "\n".join(["## Provenance", "", made, *_queries(manifest)])


def _queries(manifest: Manifest) -> Iterator[str]:
    for part, query in manifest.queries.items():
        yield f"\nThe query of the {part}:\n\n{fenced(query.strip(), 'sql')}\n"
