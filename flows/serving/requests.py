"""What a client may send to be scored. Everything else is refused in one line, which never repeats a text."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

MOST_BYTES = 8 * 2**20
MOST_PROPOSITIONS = 1_000


class RefusedError(Exception):
    """A request that gets no scores: the HTTP status, and a line for the client."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status = status
        self.line = line


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("the text is empty")
    return text


_Filled = Annotated[str, AfterValidator(_not_blank)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Pair(_Strict):
    premise: _Filled
    hypothesis: _Filled


class _Propositions(_Strict):
    propositions: list[_Pair]


def pairs_of(body: bytes) -> list[tuple[str, str]]:
    """Return the premise and the hypothesis of each proposition in a request.

    Raises:
        RefusedError: the body is not JSON, has a wrong field or an empty text, or has too many propositions.
    """
    try:
        pairs = _Propositions.model_validate_json(body).propositions
    except ValidationError as error:
        raise _refused(error) from None
    if len(pairs) > MOST_PROPOSITIONS:
        raise RefusedError(
            422, f"propositions: {len(pairs):,} were sent, {MOST_PROPOSITIONS:,} are allowed; send several requests"
        )
    return [(pair.premise, pair.hypothesis) for pair in pairs]


def _refused(error: ValidationError) -> RefusedError:
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    if problem["type"] == "json_invalid":
        return RefusedError(400, f"the body is not valid JSON: {problem['msg'].removeprefix('Invalid JSON: ')}")
    where = ".".join(map(str, problem["loc"])) or "the body"
    return RefusedError(422, f"{where}: {problem['msg'].removeprefix('Value error, ')}")
