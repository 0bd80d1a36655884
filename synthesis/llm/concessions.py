"""What a call is sent without because the server refused it, for each model. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from synthesis.call import Call

REFUSES_FORMAT = (400, 422)
# "System role not supported", "Conversation roles must alternate user/assistant/...",
# "Only user and assistant roles are supported!", "Developer instruction is not enabled for models/...".
_PART = r"\bsystem\W{1,3}(role|turn|message|prompt|instruction)s?\b"
_NO_SYSTEM = re.compile(
    rf"{_PART}.{{0,60}}\b(not|un\w+|only|invalid)\b|\b(un|not )supported.{{0,40}}{_PART}"
    r"|roles must alternate|only user.{0,20}\bassistant\b|developer instruction",
    re.I,
)
_STATUS = re.compile(r"^HTTP [0-9]+ ?")
_NUMBER = re.compile(r"(?<![\w.-])[0-9]{1,4}(?![\w]|\.[0-9])")


@dataclass(frozen=True)
class Manner:
    """How a call is sent: with its response format, with a system turn, with how many alternatives at most."""

    structured: bool = True
    system_turn: bool = True
    most_alternatives: int | None = None


@dataclass
class Concessions:
    """What an endpoint refused. Response formats are refused one by one: another schema may be accepted."""

    _formats: set[tuple[str, str]] = field(default_factory=set)
    _no_system: set[str] = field(default_factory=set)
    _most: dict[str, int] = field(default_factory=dict)

    def manner(self, call: Call) -> Manner:
        """How to send this call, as far as is known."""
        return Manner(
            structured=call.response_format is not None and (call.model, call.response_format) not in self._formats,
            system_turn=call.model not in self._no_system,
            most_alternatives=self._most.get(call.model),
        )

    def learn(self, call: Call, worked: Manner) -> Iterator[str]:
        """Remembers how the call was accepted in the end. Yields a note for the user on whatever is new."""
        if call.response_format is not None and not worked.structured:
            self._formats.add((call.model, call.response_format))
        if not worked.system_turn and call.model not in self._no_system:
            self._no_system.add(call.model)
            yield (f"{call.model} has no system role; the system text is sent in the user's turn")
        most = worked.most_alternatives
        if most is not None and self._most.get(call.model) != most:
            self._most[call.model] = most
            yield (f"{call.model} gives at most {most} alternatives of a token and is asked for {most}")


def conceded(call: Call, manner: Manner, status: int, words: str) -> Manner | None:
    """How to send the call after a refusal in these words; None if nothing can be left out."""
    words = _STATUS.sub("", words)
    asked = call.top_logprobs if manner.most_alternatives is None else manner.most_alternatives
    if asked is not None and "logprobs" in words and (most := _limit(words, asked)) is not None:
        return replace(manner, most_alternatives=most)
    if manner.system_turn and call.has_system_turn and _NO_SYSTEM.search(words):
        return replace(manner, system_turn=False)
    if manner.structured and status in REFUSES_FORMAT:
        return replace(manner, structured=False)
    return None


def _limit(words: str, asked: int) -> int | None:
    """The largest number in a refusal below what was asked for; a single alternative is of no use."""
    return max((n for n in map(int, _NUMBER.findall(words)) if 1 < n < asked), default=None)
