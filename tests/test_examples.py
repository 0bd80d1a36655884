"""The example texts keep what `examples/README.md` promises; plain JSON, so that no importer can hide a fault."""

import json
import re
import unicodedata
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from statistics import correlation, mean
from typing import TypedDict

import pytest

from examples.make_judgments import rows
from flows.llm_runs.jobs import Job, RunOptions, check_prices
from flows.settings.settings import load_settings
from synthesis.prompts.render import ANSWERS_OF_METHOD, load_prompt

EXAMPLES = Path(__file__).parents[1] / "examples"
GENRES = ("everyday", "news", "science", "fiction")
NEGATION = re.compile(r"\b(?:no|not|never|nobody|nothing|neither|none|without)\b|n't\b", re.IGNORECASE)


class PremiseRow(TypedDict):
    text: str
    source: str
    license: str
    language: str


class PropositionRow(TypedDict):
    premise: str
    hypothesis: str
    probability: float
    source: str
    license: str


def lines(name: str) -> list[str]:
    return (EXAMPLES / name).read_text(encoding="utf-8").splitlines()


class JudgmentRow(TypedDict):
    premise: str
    hypothesis: str
    annotator: str
    group: str
    rating: float
    cannot_judge: bool
    batch: str
    submitted_at: str
    lead_time: float
    simulated: bool
    license: str


PREMISES: list[PremiseRow] = [json.loads(line) for line in lines("premises.jsonl")]
PROPOSITIONS: list[PropositionRow] = [json.loads(line) for line in lines("propositions.jsonl")]
JUDGMENTS: list[JudgmentRow] = [json.loads(line) for line in lines("judgments.jsonl")]


def probabilities() -> list[float]:
    return [row["probability"] for row in PROPOSITIONS]


def by_premise() -> dict[str, list[PropositionRow]]:
    groups: defaultdict[str, list[PropositionRow]] = defaultdict(list)
    for row in PROPOSITIONS:
        groups[row["premise"]].append(row)
    return groups


def words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.casefold())


def runs(text: str, length: int) -> set[tuple[str, ...]]:
    tokens = words(text)
    return {tuple(tokens[i : i + length]) for i in range(len(tokens) - length + 1)}


def is_multiple_of_a_twentieth(probability: float) -> bool:
    return abs(probability * 20 - round(probability * 20)) < 1e-9


def test_every_row_has_exactly_the_documented_fields() -> None:
    for premise in PREMISES:
        assert set(premise) == {"text", "source", "license", "language"}
        assert (premise["license"], premise["language"]) == ("CC0-1.0", "en")
    for proposition in PROPOSITIONS:
        assert set(proposition) == {"premise", "hypothesis", "probability", "source", "license"}
        assert (proposition["source"], proposition["license"]) == ("odds-examples", "CC0-1.0")
        assert isinstance(proposition["probability"], float)
        assert 0 < proposition["probability"] < 1


def test_each_genre_has_twelve_premises_and_propositions_for_eight() -> None:
    genres = {premise["text"]: premise["source"] for premise in PREMISES}
    assert Counter(genres.values()) == {f"odds-examples/{genre}": 10 for genre in GENRES}
    assert Counter(genres[text] for text in by_premise()) == {f"odds-examples/{genre}": 8 for genre in GENRES}


def test_the_genres_alternate() -> None:
    assert [premise["source"].removeprefix("odds-examples/") for premise in PREMISES] == list(GENRES) * 10


def test_every_proposition_stands_on_a_premise_of_the_file_and_every_premise_used_has_three() -> None:
    assert set(by_premise()) <= {premise["text"] for premise in PREMISES}
    assert [len(group) for group in by_premise().values()] == [3] * 32


def test_no_text_stands_twice() -> None:
    texts = [premise["text"] for premise in PREMISES] + [row["hypothesis"] for row in PROPOSITIONS]
    assert len({tuple(words(text)) for text in texts}) == 40 + 96


def test_texts_are_normalised_sentences_of_the_stated_length() -> None:
    for premise in PREMISES:
        assert 15 <= len(premise["text"].split()) <= 55, premise["text"]
    for row in PROPOSITIONS:
        assert 5 <= len(row["hypothesis"].split()) <= 18, row["hypothesis"]
        assert re.fullmatch(r"[A-Z][^.?!]*\.", row["hypothesis"]), row["hypothesis"]
    for text in [premise["text"] for premise in PREMISES] + [row["hypothesis"] for row in PROPOSITIONS]:
        assert text == " ".join(unicodedata.normalize("NFC", text).split())


def test_no_hypothesis_repeats_five_words_of_its_premise() -> None:
    for row in PROPOSITIONS:
        assert not runs(row["hypothesis"], 5) & runs(row["premise"], 5), row["hypothesis"]


def test_each_tenth_of_the_range_has_nine_or_ten_propositions() -> None:
    tenths = Counter(int(probability * 1000 + 0.5) // 100 for probability in probabilities())
    assert set(tenths) == set(range(10))
    assert set(tenths.values()) <= {9, 10}


def test_the_probabilities_are_fine_grained() -> None:
    assert sum(map(is_multiple_of_a_twentieth, probabilities())) <= len(PROPOSITIONS) / 5
    assert max(Counter(probabilities()).values()) <= 2


def test_the_hypotheses_of_a_premise_differ_by_a_tenth_or_more() -> None:
    for premise, group in by_premise().items():
        ordered = sorted(row["probability"] for row in group)
        assert min(high - low for low, high in pairwise(ordered)) >= 0.1, premise


def test_negation_gives_nothing_away() -> None:
    negated = [row["probability"] for row in PROPOSITIONS if NEGATION.search(row["hypothesis"])]
    assert min(Counter(min(int(probability * 3), 2) for probability in negated)[third] for third in range(3)) >= 4
    assert abs(mean(negated) - mean(probabilities())) < 0.15


def test_length_gives_nothing_away() -> None:
    lengths = [float(len(row["hypothesis"].split())) for row in PROPOSITIONS]
    assert abs(correlation(lengths, probabilities())) < 0.2


def test_the_judgments_are_those_of_the_generator() -> None:
    made = [json.dumps(row, ensure_ascii=False) for row in rows([dict(row) for row in PROPOSITIONS])]
    assert lines("judgments.jsonl") == made
    other = rows([dict(row) for row in PROPOSITIONS], seed=1)
    assert [row["rating"] for row in other] != [row["rating"] for row in JUDGMENTS]


def test_every_judgment_says_that_it_is_simulated() -> None:
    for row in JUDGMENTS:
        assert set(row) == set(JudgmentRow.__annotations__)
        assert row["simulated"] is True
        assert row["annotator"].startswith("simulated-")
        assert row["group"].startswith("simulated-")
        assert row["license"] == "CC0-1.0"
        assert 0 <= row["rating"] <= 100
        assert row["lead_time"] > 0


def test_the_judgments_are_what_the_readme_promises() -> None:
    readme = (EXAMPLES / "README.md").read_text()
    pairs = {(row["premise"], row["hypothesis"]) for row in JUDGMENTS}
    assert pairs == {(row["premise"], row["hypothesis"]) for row in PROPOSITIONS}
    groups = {row["annotator"]: row["group"] for row in JUDGMENTS}
    assert Counter(groups.values()) == {"simulated-staff": 6, "simulated-crowd": 6}
    assert {row["batch"] for row in JUDGMENTS} == {"pilot", "main"}
    days = [row["submitted_at"][:10] for row in JUDGMENTS]
    assert (min(days) >= "2026-01-05", max(days) <= "2026-02-27") == (True, True)
    each = Counter((row["annotator"], row["premise"], row["hypothesis"]) for row in JUDGMENTS)
    repeats, cannot = sum(each.values()) - len(each), sum(row["cannot_judge"] for row in JUDGMENTS)
    assert len(each) == 96 * 6
    assert f"| `judgments.jsonl` | {len(JUDGMENTS)} |" in readme
    assert f"{repeats} repeats" in readme
    assert f'{cannot} "cannot judge"' in readme


def test_one_annotator_is_careless_and_the_others_are_not() -> None:
    written = {(row["premise"], row["hypothesis"]): row["probability"] for row in PROPOSITIONS}
    by_annotator: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in JUDGMENTS:
        by_annotator[row["annotator"]].append((row["rating"], written[row["premise"], row["hypothesis"]]))
    r = {name: correlation(*zip(*pairs, strict=True)) for name, pairs in by_annotator.items()}
    assert r.pop("simulated-12") < min(r.values()) - 0.1


@pytest.mark.parametrize("name", ["panel", "vendor", "vllm"])
def test_the_settings_can_be_used(name: str) -> None:
    settings = load_settings(EXAMPLES / f"{name}.toml")
    assert settings.home_path == EXAMPLES.parent / name  # beside the folder, never in it
    for labeler in settings.llms:
        assert load_prompt(labeler.prompt).answer in ANSWERS_OF_METHOD[labeler.method]
    prompts = [*map(settings.proposer.prompt_of, settings.proposer.kinds), settings.judge.prompt_name]
    assert all(load_prompt(prompt) for prompt in prompts)
    # Nobody is without prices: a limit of cost can be given for all but those that send no max_tokens.
    asked = (*settings.llms, settings.proposer, settings.judge)
    bounded = [config for config in asked if "max_tokens" not in config.omit]
    check_prices(settings, [Job(config, 1, lambda: iter(())) for config in bounded], RunOptions(max_cost=1.0))
