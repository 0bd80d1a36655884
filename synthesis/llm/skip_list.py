"""What is skipped at an endpoint while the rest goes on: a model it does not know, a labeler it always rejects."""

from __future__ import annotations

from collections import Counter

from synthesis.call import Call
from synthesis.llm.errors import where_is
from synthesis.panel.settings import Endpoint
from warehouse.errors import ServiceError

HOPELESS = 10
"""Rejections of a labeler that has never had a reply, after which it is skipped."""


class SkippedError(ServiceError):
    """This call is not sent, nor any other of its model or labeler; the rest of the endpoint goes on."""


class SkipList:
    """The models and labelers that one endpoint skips, each with a line for the user."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._models: dict[str, str] = {}
        self._labelers: dict[str, str] = {}
        self._replied: set[str] = set()
        self._rejections: Counter[str] = Counter()

    def reason(self, model: str, labeler: str) -> str | None:
        """Why this model, or this labeler, is skipped; None if it is not."""
        return self._models.get(model) or self._labelers.get(labeler)

    def check(self, call: Call) -> None:
        """Raises SkippedError if the call must not be sent."""
        if (reason := self.reason(call.model, call.about.labeler)) is not None:
            raise SkippedError(reason)

    def unknown(self, model: str) -> SkippedError:
        """Skips a model that the endpoint does not know. Returns the error to raise."""
        self._models[model] = (
            f"{where_is(self._endpoint)} does not know the model {model} (HTTP 404); check model and base_url"
        )
        return SkippedError(self._models[model])

    def replied(self, labeler: str) -> None:
        """A labeler got a reply, in this run or an earlier one: rejections never put it on the list."""
        self._replied.add(labeler)

    def rejected(self, labeler: str, words: str) -> None:
        """The endpoint rejected a call of a labeler, in these words."""
        self._rejections[labeler] += 1
        if labeler not in self._replied and self._rejections[labeler] >= HOPELESS:
            self._labelers.setdefault(
                labeler,
                f"{where_is(self._endpoint)} rejects every request of {labeler} (the first {HOPELESS}; {words}); "
                f"check the model, extra and omit of {labeler}",
            )
