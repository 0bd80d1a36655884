"""The batch interface of an OpenAI-compatible endpoint: files and batches over HTTP, retried."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import IO, TypeVar

import openai
from openai.types import Batch

from synthesis.batch.lines import PATH
from synthesis.llm.client import Caller
from synthesis.llm.completion import GarbledReplyError
from synthesis.llm.errors import (
    MAX_WAIT_S,
    UNREACHED,
    check_access,
    check_money,
    passes,
    retry_after,
    where_is,
    why_unreached,
    words_of,
)
from synthesis.llm.retries import PassingError, retried
from warehouse.errors import InputError, OddsError, ServiceError

T = TypeVar("T")

MARK = "odds"
"""The name in a batch's metadata that holds our own id of it."""
UPLOAD_S = 900.0
"""A file of 100 MB may take longer than a request."""
LINES_AT_ONCE = 512
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
# Reading a file in parts, and parsing an answer into the client's classes, fail in more ways.
_UNREACHED = (*UNREACHED, TimeoutError, ValueError)


class GoneError(Exception):
    """The endpoint does not know a batch or a file."""


class NotMadeError(Exception):
    """The endpoint refused a batch, so it does not exist; `error` is the one for the user."""

    def __init__(self, error: OddsError) -> None:
        super().__init__(str(error))
        self.error = error


class BatchInterface:
    """The batch interface of one endpoint.

    Passing failures (no connection, HTTP 5xx or 429) are retried for as long as the endpoint may be down, `patience_s`.
    Each method raises ServiceError after that, or if the endpoint refuses, and StoppedError if the run is stopped while
    it waits.
    """

    def __init__(self, caller: Caller, name: str) -> None:
        self._caller = caller
        client = caller.client(name)
        self._endpoint = client.endpoint
        self._client = client.openai
        self.secret = client.key
        self.where = where_is(self._endpoint)

    async def upload(self, name: str, file: IO[bytes]) -> str:
        """Uploads lines and returns the id of the file. Raises InputError if the endpoint takes no files."""

        async def send() -> str:
            file.seek(0)
            made = await self._client.files.create(
                file=(f"{name}.jsonl", file, "application/jsonl"), purpose="batch", timeout=UPLOAD_S
            )
            return _id_of(made)

        return await self._supported(send)

    async def create(self, local_id: str, file_id: str) -> str:
        """Creates a batch from an uploaded file, once, and returns its id.

        Raises NotMadeError if the endpoint refuses it. After any other error it may exist.
        """
        tried = refused = False

        async def send() -> str:
            nonlocal tried, refused
            # After a broken attempt the batch may exist; a second one would be paid for as well.
            if tried and (found := await self._found(local_id)) is not None:
                return found
            tried = True
            try:
                made = await self._client.batches.create(
                    input_file_id=file_id, endpoint=PATH, completion_window="24h", metadata={MARK: local_id}
                )
            except openai.APIStatusError as error:
                refused = not passes(error.status_code)
                raise
            return _id_of(made)

        try:
            return await self._supported(send)
        except OddsError as error:
            if refused:
                raise NotMadeError(error) from None
            raise

    async def find(self, local_id: str, *, patiently: bool = True) -> str | None:
        """The endpoint's id of the batch that carries our id; without `patiently`, a single attempt.

        Raises InputError if the endpoint keeps no list of batches.
        """
        return await self._supported(lambda: self._found(local_id), patiently)

    async def state(self, batch_id: str) -> Batch:
        """The state of a batch. Raises GoneError if the endpoint does not know it."""

        async def send() -> Batch:
            batch = await self._client.batches.retrieve(batch_id)
            _id_of(batch)
            return batch

        try:
            return await self._patiently(send)
        except openai.NotFoundError:
            raise GoneError from None

    async def read(self, file_id: str, take: Callable[[Sequence[str]], Awaitable[None]]) -> None:
        """Passes the lines of a file to `take`, some hundreds at a time. A broken download starts over.

        Raises GoneError if the endpoint does not know the file.
        """

        async def send() -> None:
            rest, lines = b"", list[str]()
            async with self._client.files.with_streaming_response.content(file_id) as response:
                async for part in response.iter_bytes():
                    # Split at \n only: text may hold other characters that str.splitlines() takes for line breaks.
                    *whole, rest = (rest + part).split(b"\n")
                    lines.extend(line.decode(errors="replace") for line in whole)
                    if len(lines) >= LINES_AT_ONCE:
                        await take(lines)
                        lines = []
            await take([*lines, rest.decode(errors="replace")])

        try:
            await self._patiently(send)
        except openai.NotFoundError:
            raise GoneError from None

    async def _found(self, local_id: str) -> str | None:
        seen: set[str] = set()
        async for batch in await self._client.batches.list(limit=100):
            if batch.id in seen:  # the list starts over
                break
            seen.add(batch.id)
            if (batch.metadata or {}).get(MARK) == local_id:
                return batch.id
        return None

    async def _supported(self, send: Callable[[], Awaitable[T]], patiently: bool = True) -> T:
        try:
            return await self._patiently(send, self._endpoint.patience_s if patiently else 0.0)
        except openai.NotFoundError:
            raise InputError(f"{self.where} has no batch interface (HTTP 404); run without --batch") from None

    async def _patiently(self, send: Callable[[], Awaitable[T]], patience_s: float | None = None) -> T:
        limit_s = self._endpoint.patience_s if patience_s is None else patience_s
        attempt = partial(self._attempt, send)
        pause = self._caller.stop.pause
        try:
            return await retried(attempt, pause, lambda _, s: s >= limit_s, _FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        except PassingError as error:
            raise ServiceError(
                f"{self.where} does not answer about batches ({error}); run the same command again later"
            ) from None

    async def _attempt(self, send: Callable[[], Awaitable[T]]) -> T:
        try:
            return await send()
        except openai.NotFoundError:
            raise
        except openai.APIStatusError as error:
            # Not chained: the words may repeat the key.
            check_money(self._endpoint, error, self.secret)
            check_access(self._endpoint, error)
            if not passes(error.status_code):
                said = words_of(error, self.secret)
                raise ServiceError(f"{self.where} refuses the batch ({said}); see its documentation") from None
            raise PassingError(f"HTTP {error.status_code}", min(retry_after(error.response), MAX_WAIT_S)) from None
        except _UNREACHED as error:
            raise PassingError(why_unreached(error, self.secret)) from None


def _id_of(made: object) -> str:
    found = getattr(made, "id", None)
    if not isinstance(found, str) or not found:
        raise GarbledReplyError("the answer has no id")
    return found
