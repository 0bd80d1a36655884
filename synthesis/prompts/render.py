"""From a prompt file and values to messages. Only `load_prompt` and `prompt_for` read files; the rest is pure."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from warehouse.errors import InputError
from warehouse.records import LLMMethod, Text, content_id, normalise

AnswerKind = Literal[
    "hypotheses",
    "updates",
    "variants",
    "conjunction",
    "rewriting",
    "probability",
    "scale20",
    "yes_no",
    "which",
    "confidences",
    "keep_drop",
    "summary",
]

ANSWERS_OF_METHOD: Mapping[LLMMethod, tuple[AnswerKind, ...]] = {
    "verbalised": ("probability",),
    "scale20": ("scale20",),
    "token": ("yes_no",),
    "mean_of_samples": ("probability", "scale20"),
    "pairwise": ("which",),
}
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_ONE = frozenset({"premise", "hypothesis"})
_NEEDED: Mapping[AnswerKind, frozenset[str]] = {
    "hypotheses": frozenset({"premise", "target"}),
    "updates": _ONE,
    "variants": frozenset({"hypothesis"}),
    "conjunction": frozenset({"first", "second"}),
    "rewriting": _ONE,
    "probability": _ONE,
    "scale20": _ONE,
    "yes_no": _ONE,
    "which": frozenset({"premise", "hypothesis", "other_premise", "other_hypothesis"}),
    "confidences": _ONE | {"answers"},
    "keep_drop": _ONE | {"answers"},
    "summary": _ONE | {"reasoning"},
}
_MORE: Mapping[AnswerKind, frozenset[str]] = {
    "hypotheses": frozenset({"likelihood", "count"}),
    "updates": frozenset({"count"}),
    "variants": frozenset({"premise", "count"}),
    "conjunction": frozenset({"premise"}),
    "confidences": frozenset({"count"}),
    "keep_drop": frozenset({"count"}),
}


class Example(BaseModel):
    """A worked example: the values of its user turn, and the reply to it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    values: dict[str, str]
    reply: Text


class Prompt(BaseModel):
    """A versioned prompt. In `user`, {premise}, {hypothesis}, {target} ... are placeholders; other braces are text.

    `answer` says what a reply holds, and so how it is parsed. `json_schema` is the JSON schema of the answer as text,
    in which {count} is the number of texts or answers to give. `system` may be omitted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Text
    version: Annotated[int, Field(ge=1)]
    description: Text
    answer: AnswerKind
    system: str = ""
    user: Text
    examples: tuple[Example, ...] = ()
    json_schema: Text | None = None

    @cached_property
    def revision(self) -> str:
        """The version number and a hash of the text, so that an edited prompt is never mistaken for the old one."""
        text = self.model_dump_json(include={"answer", "system", "user", "examples", "json_schema"})
        return f"{self.version}-{content_id('prompt', text)[:12]}"

    @cached_property
    def opening(self) -> tuple[dict[str, str], ...]:
        """What every request with this prompt begins with: the system text, and the examples as earlier turns."""
        system = self.system.strip()
        turns = [{"role": "system", "content": system}] if system else []
        for example in self.examples:
            turns.append({"role": "user", "content": _fill(self.user, example.values)})
            turns.append({"role": "assistant", "content": example.reply})
        return tuple(turns)

    @model_validator(mode="after")
    def _can_be_rendered(self) -> Prompt:
        named = set(_PLACEHOLDER.findall(self.user))
        if missing := _NEEDED[self.answer] - named:
            raise ValueError(f"user lacks {{{sorted(missing)[0]}}}")
        if unknown := named - _NEEDED[self.answer] - _MORE.get(self.answer, frozenset()):
            raise ValueError(f"user holds {{{sorted(unknown)[0]}}}, which has no value here")
        for number, example in enumerate(self.examples, start=1):
            if set(example.values) != named:
                raise ValueError(f"example {number} must give exactly the values {', '.join(sorted(named))}")
        response_format(self.answer, self.json_schema, count=1)
        return self


def load_prompt(prompt: str) -> Prompt:
    """The prompt of that name in the package, or in that file if the name ends in `.toml`.

    Raises InputError if there is no such prompt, or if the file cannot be used.
    """
    if not prompt.endswith(".toml"):
        packaged = resources.files("synthesis.prompts") / f"{prompt}.toml"
        if not packaged.is_file():
            known = ", ".join(prompt_names())
            raise InputError(f"prompt {prompt}: no such prompt; give one of {known} or the path of a .toml file")
        return parse_prompt(packaged.read_text("utf-8"), prompt)
    try:
        return parse_prompt(Path(prompt).read_text("utf-8"), prompt)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"prompt {prompt}: the file cannot be read ({error}); check the path") from error


def prompt_names() -> list[str]:
    """The names of the package's prompts."""
    files = resources.files("synthesis.prompts").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def parse_prompt(text: str, where: str) -> Prompt:
    """Parses the TOML text of a prompt; `where` names it in errors. Raises InputError."""
    try:
        return Prompt.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"prompt {where}: not valid TOML ({error})") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "file"
        raise InputError(f"prompt {where}: {field}: {first['msg']}") from error


def prompt_for(name: str, reader: str, wanted: Sequence[AnswerKind]) -> Prompt:
    """The prompt of that name or file. Raises InputError if its answer is not one that the `reader` reads."""
    prompt = load_prompt(name)
    if prompt.answer not in wanted:
        raise InputError(
            f"prompt {prompt.name}: its answer is {prompt.answer}, but {reader} reads {' or '.join(wanted)}; "
            "choose another prompt"
        )
    return prompt


def messages(prompt: Prompt, values: Mapping[str, str]) -> tuple[dict[str, str], ...]:
    """The chat messages: the system text, the examples as earlier turns, and the user turn with the values.

    Values are inserted once, never read as templates, and become a single line each, so that no text can pass for
    another part of the prompt. What all requests share comes first, so a server can reuse its prefix cache.
    """
    return (*prompt.opening, {"role": "user", "content": _fill(prompt.user, values)})


def merged_system(messages: Sequence[dict[str, str]]) -> tuple[dict[str, str], ...]:
    """The messages with the system text, if any, at the start of the first user turn."""
    system, *turns = messages
    if system["role"] != "system":
        return tuple(messages)
    first, *others = turns
    return ({**first, "content": f"{system['content']}\n\n{first['content']}"}, *others)


def response_format(answer: AnswerKind, json_schema: str | None, count: int) -> dict[str, Any] | None:
    """The `response_format` of a request, with `count` for {count} in the schema; None without a schema.

    Raises ValueError if the schema is not a JSON object.
    """
    if json_schema is None:
        return None
    try:
        schema = json.loads(json_schema.replace("{count}", str(count)))
    except json.JSONDecodeError as error:
        raise ValueError(f"json_schema is not JSON ({error})") from error
    if not isinstance(schema, dict):
        raise ValueError("json_schema is not a JSON object")
    return {"type": "json_schema", "json_schema": {"name": answer, "strict": True, "schema": schema}}


def likelihood(probability: float) -> str:
    """A target probability in words, which small models follow better than a number."""
    words = ((0.2, "almost certainly false"), (0.4, "probably false"), (0.6, "as likely true as false"))
    for bound, text in words:
        if probability < bound:
            return text
    return "probably true" if probability < 0.8 else "almost certainly true"


def percent(probability: float) -> str:
    """A probability as a percentage without trailing zeros: 0.1 is 10%, 0.125 is 12.5%."""
    return f"{probability * 100:.10g}%"


def _fill(template: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda found: normalise(values[found[1]]), template.strip())
