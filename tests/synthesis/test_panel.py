from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from synthesis.panel.defaults import DEFAULT_PANEL, DEFAULT_PROPOSER
from synthesis.panel.settings import Endpoint, Labeler, Proposer
from synthesis.panel.versions import labeler_version
from synthesis.prompts.render import ANSWERS_OF_METHOD, load_prompt

LABELER = Labeler(name="a", endpoint="e", model="m", prompt="verbalised", method="verbalised")


def test_the_default_panel_has_three_methods_and_prompts_that_fit() -> None:
    assert len({labeler.method for labeler in DEFAULT_PANEL}) == 3
    for labeler in DEFAULT_PANEL:
        assert load_prompt(labeler.prompt).answer in ANSWERS_OF_METHOD[labeler.method]
    assert load_prompt(DEFAULT_PROPOSER.prompt).answer == "hypotheses"


@pytest.mark.parametrize(
    "change",
    [
        {"model": "n"},
        {"temperature": 0.5},
        {"system_turn": False},
        {"top_logprobs": 5},
        {"max_tokens": 9},
        {"seed": 7},
        {"method": "mean_of_samples", "samples": 3},
    ],
)
def test_a_version_moves_with_what_is_sent(change: dict[str, Any]) -> None:
    prompt = load_prompt("verbalised")
    assert labeler_version(LABELER.model_copy(update=change), prompt) != labeler_version(LABELER, prompt)


def test_a_version_moves_with_the_prompt_but_not_with_the_place() -> None:
    prompt = load_prompt("verbalised")
    edited = prompt.model_copy(update={"system": "Another text."})
    assert labeler_version(LABELER, edited) != labeler_version(LABELER, prompt)
    moved = LABELER.model_copy(update={"name": "b", "endpoint": "f", "prompt": "copy.toml"})
    assert labeler_version(moved, prompt) == labeler_version(LABELER, prompt)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"compared_with": 3}, "compared_with belongs to"),
        ({"top_logprobs": 5}, "top_logprobs belongs to"),
        ({"extra": {"top_logprobs": 5}}, "use the setting of that name"),
        ({"extra": {"max_completion_tokens": "4000"}}, "a whole number above 0"),
        ({"extra": {"max_completion_tokens": -1}}, "a whole number above 0"),
        ({"extra": {"until": date(2026, 1, 1)}}, "not a valid JSON value"),
        ({"samples": 3}, "mean_of_samples"),
        ({"method": "mean_of_samples"}, "samples must be at least 2"),
        ({"method": "mean_of_samples", "samples": 3, "temperature": 0}, "temperature above 0"),
        ({"colour": "red"}, "Extra inputs"),
    ],
)
def test_settings_that_cannot_be_are_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Labeler.model_validate(LABELER.model_dump() | change)


@pytest.mark.parametrize(
    "url", ["", "host/v1", "ftp://host/v1", "https://user:word@host/v1", "https://host/v1?key=word"]
)
def test_an_address_holds_no_secret(url: str) -> None:
    with pytest.raises(ValidationError, match="base_url"):
        Endpoint(name="e", base_url=url)


def test_targets_and_kinds_differ() -> None:
    with pytest.raises(ValidationError, match="targets must differ"):
        Proposer(name="p", endpoint="e", model="m", targets=(0.1, 0.1))
    with pytest.raises(ValidationError, match="kinds must differ"):
        Proposer(name="p", endpoint="e", model="m", kinds=("negation", "negation"))
