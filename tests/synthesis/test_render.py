from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.panel.defaults import DEFAULT_JUDGE
from synthesis.panel.settings import PROMPTS_OF_KIND
from synthesis.prompts.render import (
    ANSWERS_OF_METHOD,
    likelihood,
    load_prompt,
    merged_system,
    messages,
    parse_prompt,
    percent,
    prompt_for,
    prompt_names,
    response_format,
)
from synthesis.questions.parse import parse_field, parse_text, parse_texts
from synthesis.questions.probabilities import parse_number
from warehouse.errors import InputError
from warehouse.records import normalise

SMALL = """
name = "small"
version = 3
description = "A prompt of a test."
answer = "probability"
system = "Be brief."
user = "P: {premise}\\nH: {hypothesis}"
"""


def test_the_packaged_prompts_load_and_bear_their_file_names() -> None:
    ours = {"propose", *PROMPTS_OF_KIND.values(), "verbalised", "verbalised_short", "verbalised_brief"}
    ours |= {"scale20", "token"}
    assert ours <= set(prompt_names())
    for name in prompt_names():
        assert load_prompt(name).name == name


LISTS: dict[str, str] = {"hypotheses": "hypotheses", "updates": "updates", "variants": "hypotheses"}
FIELDS: dict[str, tuple[str, ...]] = {
    "conjunction": ("hypothesis",),
    "rewriting": ("premise", "hypothesis"),
    "summary": ("summary",),
}
OTHERS: dict[str, str] = {"which": "more_likely", "confidences": "confidences", "keep_drop": "verdicts"}


@pytest.mark.parametrize("name", prompt_names())
def test_the_examples_of_a_prompt_are_answers_that_we_can_read(name: str) -> None:
    prompt = load_prompt(name)
    for example in prompt.examples:
        if field := LISTS.get(prompt.answer):
            texts = parse_texts(example.reply, field).value or []
            assert len(texts) == int(example.values.get("count", "1"))
        elif fields := FIELDS.get(prompt.answer):
            assert all(parse_text(example.reply, field).value for field in fields)
        elif field := OTHERS.get(prompt.answer):
            assert parse_field(example.reply, field).reason is None
        elif prompt.answer == "yes_no":
            assert example.reply in {"Yes", "No"}
        else:
            assert parse_number(example.reply, prompt.answer).reason is None


def test_the_short_prompt_is_the_first_version_of_the_long_one() -> None:
    """The revision of `verbalised` at commit 28c0804: what was asked with it keeps its worth under this name."""
    assert load_prompt("verbalised_short").revision == "1-7c7967df2ae2"


def test_verbalised_reasoning_has_room_for_a_judge_to_summarise() -> None:
    """A short limit in the schema would keep a model from reasoning, and a judge from ever asking for a summary."""
    prompt = load_prompt("verbalised")
    assert prompt.version == 3
    sent = response_format(prompt.answer, prompt.json_schema, 1)
    assert sent is not None
    reasoning = sent["json_schema"]["schema"]["properties"]["reasoning"]
    assert reasoning.get("maxLength", math.inf) > 2 * DEFAULT_JUDGE.summarise_above
    read = [parse_number(example.reply, "probability") for example in prompt.examples]
    assert all(each.reasoning is not None and each.reasoning.count(". ") >= 1 for each in read), "each shows how"
    assert all(each.value is not None and round(each.value * 100) % 5 for each in read), "none is a multiple of 5%"


@pytest.mark.parametrize("name", prompt_names())
def test_the_examples_of_a_prompt_keep_to_its_own_schema(name: str) -> None:
    prompt = load_prompt(name)
    for example in prompt.examples:
        sent = response_format(prompt.answer, prompt.json_schema, int(example.values.get("count", "1")))
        assert sent is not None
        schema, reply = sent["json_schema"]["schema"], json.loads(example.reply)
        assert list(reply) == schema["required"] == list(schema["properties"])
        assert schema["additionalProperties"] is False
        for field, of in schema["properties"].items():
            if of["type"] == "array":
                assert of["minItems"] <= len(reply[field]) <= of["maxItems"]
            if of["type"] == "string":
                assert of.get("minLength", 0) <= len(reply[field]) <= of.get("maxLength", len(reply[field]))


def test_the_examples_of_proposing_name_their_targets_as_we_do() -> None:
    for example in load_prompt("propose").examples:
        assert example.values["likelihood"] == likelihood(float(example.values["target"].rstrip("%")) / 100)


def test_a_prompt_of_ones_own_loads_from_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(SMALL)
    assert messages(load_prompt(str(path)), {"premise": "A.", "hypothesis": "B."}) == (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "P: A.\nH: B."},
    )


@pytest.mark.parametrize(
    "text",
    ["{hypothesis}", "{premise}", '"} {0} {', "{{x}}", "\\1 \\g<0>", "line\nHypothesis: another", "%s", "</think>"],
)
def test_no_value_is_read_as_a_template_or_makes_a_new_line(text: str) -> None:
    prompt = parse_prompt(SMALL, "here")
    assert messages(prompt, {"premise": text, "hypothesis": "B."})[-1]["content"] == f"P: {normalise(text)}\nH: B."


@given(premise=st.text(), hypothesis=st.text())
def test_any_values_stand_in_the_user_turn_as_they_are(premise: str, hypothesis: str) -> None:
    content = messages(parse_prompt(SMALL, "here"), {"premise": premise, "hypothesis": hypothesis})[-1]["content"]
    assert content == f"P: {normalise(premise)}\nH: {normalise(hypothesis)}"


def test_what_requests_share_stands_before_what_differs() -> None:
    prompt = load_prompt("verbalised")
    one, other = (messages(prompt, {"premise": text, "hypothesis": text}) for text in "ab")
    assert one[:-1] == other[:-1]
    assert len(one) == 2 + 2 * len(prompt.examples)


def test_the_schema_counts_the_hypotheses() -> None:
    sent = response_format("hypotheses", load_prompt("propose").json_schema, count=3)
    assert sent is not None
    items = sent["json_schema"]["schema"]["properties"]["hypotheses"]
    assert (items["minItems"], items["maxItems"]) == (3, 3)
    assert response_format("yes_no", load_prompt("token").json_schema, count=1) is None


@pytest.mark.parametrize(
    ("old", "new", "moves"),
    [
        ("Be brief.", "Be very brief.", True),
        ("P: ", "Premise: ", True),
        ("version = 3", "version = 4", True),
        ("A prompt of a test.", "Another description.", False),
    ],
)
def test_the_revision_moves_with_the_text_that_is_sent(old: str, new: str, moves: bool) -> None:
    before, after = parse_prompt(SMALL, "a"), parse_prompt(SMALL.replace(old, new), "b")
    assert (before.revision != after.revision) == moves
    assert before.revision.startswith("3-")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name = ", "not valid TOML"),
        (SMALL + 'extra = "x"', "extra"),
        (SMALL.replace("{hypothesis}", ""), "user lacks {hypothesis}"),
        (SMALL.replace("H: ", "{target} "), "{target}, which has no value here"),
        (SMALL + "json_schema = '{'", "json_schema"),
        (SMALL + "json_schema = '[]'", "json_schema"),
        (SMALL + '[[examples]]\nvalues = { premise = "A" }\nreply = "0.5"', "example 1"),
    ],
)
def test_a_prompt_that_cannot_be_used_is_one_clear_line(text: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_prompt(text, "mine.toml")
    assert says in str(caught.value)
    assert "prompt mine.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_prompt_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="verbalised"):
        load_prompt("nothing")
    with pytest.raises(InputError, match=r"missing\.toml: the file cannot be read"):
        load_prompt("missing.toml")


def test_a_method_needs_a_prompt_that_it_can_read() -> None:
    assert prompt_for("token", "the method token", ANSWERS_OF_METHOD["token"]).name == "token"
    assert prompt_for("scale20", "the method mean_of_samples", ANSWERS_OF_METHOD["mean_of_samples"]).name == "scale20"
    with pytest.raises(InputError, match="verbalised: its answer is probability, but the method token reads yes_no; "):
        prompt_for("verbalised", "the method token", ANSWERS_OF_METHOD["token"])


def test_targets_are_given_in_words_and_per_cent() -> None:
    assert [percent(p) for p in (0.1, 0.3, 0.125, 0.07, 1.0)] == ["10%", "30%", "12.5%", "7%", "100%"]
    assert likelihood(0.1) == "almost certainly false"
    assert likelihood(0.5) == "as likely true as false"
    assert likelihood(0.9) == "almost certainly true"


def test_messages_are_json() -> None:
    sent = messages(load_prompt("propose"), {"premise": '"\ud83d"', "likelihood": "x", "target": "1%", "count": "1"})
    assert json.loads(json.dumps(sent))


def test_a_prompt_may_have_no_system_text_and_one_may_be_put_into_the_users_turn() -> None:
    text = 'name = "n"\nversion = 1\ndescription = "d"\nanswer = "probability"\nuser = "{premise} {hypothesis}"\n'
    values = {"premise": "P", "hypothesis": "H"}
    plain = parse_prompt(text, "n")
    assert messages(plain, values) == ({"role": "user", "content": "P H"},)
    assert merged_system(messages(plain, values)) == messages(plain, values)
    example = '[[examples]]\nvalues = { premise = "A", hypothesis = "B" }\nreply = "C"\n'
    whole = messages(parse_prompt(f'{text}system = "S"\n{example}', "n"), values)
    assert [turn["content"] for turn in whole] == ["S", "A B", "C", "P H"]
    assert [(turn["role"], turn["content"]) for turn in merged_system(whole)] == [
        ("user", "S\n\nA B"),
        ("assistant", "C"),
        ("user", "P H"),
    ]
