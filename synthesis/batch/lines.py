"""The lines of batch files: one call, or one result, each. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from synthesis.call import Call
from synthesis.llm.completion import GarbledReplyError, reply_of
from synthesis.llm.errors import one_line, passes, without_key, words_in
from synthesis.reply import CallResult, Failure

PATH: Literal["/v1/chat/completions"] = "/v1/chat/completions"
_FORMAT = (400, 422)


@dataclass(frozen=True, slots=True)
class ResultLine:
    """What one line of a batch's result files says.

    `may_be_format`: the endpoint may have refused the response format. `may_be_paid`: the model ran, whatever came.
    """

    key: str
    result: CallResult
    may_be_format: bool = False
    may_be_paid: bool = False


def request_line(call: Call, *, structured: bool) -> bytes:
    """The line of a call, including the line break."""
    line = {"custom_id": call.key, "method": "POST", "url": PATH, "body": call.body(structured=structured)}
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"


def parted(calls: Iterable[Call], structured: bool, most_lines: int, most_bytes: int) -> Iterator[list[Call]]:
    """Splits calls into groups that fit into one batch. A line that is too long for any gets its own."""
    group: list[Call] = []
    size = 0
    for call in calls:
        length = len(request_line(call, structured=structured))
        if group and (len(group) >= most_lines or size + length > most_bytes):
            yield group
            group, size = [], 0
        group.append(call)
        size += length
    if group:
        yield group


def read_line(text: str, *, structured: bool, secret: str | None) -> ResultLine | None:
    """What a line of an output or error file says; None if it does not tell which call it belongs to.

    `secret` is removed from the endpoint's words, and from a reply as by `without_key`.
    """
    try:
        data = json.loads(without_key(text.encode(), secret))
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or not isinstance(key := data.get("custom_id"), str):
        return None
    response, error = data.get("response"), data.get("error")
    body = response.get("body") if isinstance(response, dict) else None
    status = _status(response, body)
    if status == 200:
        try:
            return ResultLine(key, reply_of(body, structured=structured, batch=True), may_be_paid=True)
        except (GarbledReplyError, ArithmeticError) as garbled:
            failure = Failure(reason="not_answered", detail=one_line(garbled, secret))
            return ResultLine(key, failure, may_be_paid=True)
    words = words_in(body.get("error", body) if isinstance(body, dict) else body, secret) or words_in(error, secret)
    if status is not None and status >= 400 and not passes(status):
        failure = Failure(reason="rejected", detail=f"HTTP {status} {words}".strip())
        return ResultLine(key, failure, may_be_format=structured and status in _FORMAT)
    said = f"HTTP {status} {words}" if status else words or "the line has no response"
    return ResultLine(key, Failure(reason="not_answered", detail=said.strip()))


def _status(response: object, body: object) -> int | None:
    """The HTTP status, which some write as text; a line with choices and no status was answered."""
    said = response.get("status_code") if isinstance(response, dict) else None
    if isinstance(said, str | int | float) and not isinstance(said, bool):
        with suppress(ValueError, OverflowError):
            return int(said)
    return 200 if said is None and isinstance(body, dict) and body.get("choices") else None
