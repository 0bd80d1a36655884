"""Who is left out while the others at the same endpoint are asked: an unknown model, and who is always rejected."""

from __future__ import annotations

from collections import Counter

from synthesis.call import Call
from synthesis.llm.errors import where_is
from synthesis.panel.settings import Endpoint
from warehouse.errors import ServiceError

HOPELESS = 10
"""Rejections of a labeler, without a single reply to it, after which it is not asked any more."""


class SkippedError(ServiceError):
    """This is not sent, nor anything of its model or its labeler; the others at the endpoint go on."""


class SkipList:
    """The models and labelers of one endpoint that are left out, each with a line for a person."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._models: dict[str, str] = {}
        self._labelers: dict[str, str] = {}
        self._replied: set[str] = set()
        self._rejections: Counter[str] = Counter()

    def reason(self, model: str, labeler: str) -> str | None:
        """Why this model, or this labeler, is left out; None where it is not."""
        return self._models.get(model) or self._labelers.get(labeler)

    def check(self, call: Call) -> None:
        """Raises SkippedError where the call is not to be sent."""
        if (reason := self.reason(call.model, call.about.labeler)) is not None:
            raise SkippedError(reason)

    def unknown(self, model: str) -> SkippedError:
        """The endpoint does not know a model: nothing more is asked of it. The error to raise."""
        self._models[model] = (
            f"{where_is(self._endpoint)} does not know the model {model} (HTTP 404); check model and base_url"
        )
        return SkippedError(self._models[model])

    def replied(self, labeler: str) -> None:
        """A labeler got a reply, in this run or an earlier one: it is never left out for its rejections."""
        self._replied.add(labeler)

    def rejected(self, labeler: str, words: str) -> None:
        """The endpoint rejected a call of a labeler, in these words."""
        self._rejections[labeler] += 1
        if labeler not in self._replied and self._rejections[labeler] >= HOPELESS:
            self._labelers.setdefault(
                labeler,
                f"{where_is(self._endpoint)} rejects all that {labeler} asks (the first {HOPELESS}; {words}); "
                f"check the model, extra and omit of {labeler}",
            )
