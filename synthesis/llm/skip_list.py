"""Who is left out while the others at the same endpoint are asked: an unknown model, and who is always rejected."""

from __future__ import annotations

from collections import Counter

from synthesis.call import Call
from synthesis.llm.errors import where_is
from synthesis.panel.settings import Endpoint
from warehouse.errors import ServiceError

HOPELESS = 10
"""Rejections of an asker, without a single reply to it, after which it is not asked any more."""


class LeftOutError(ServiceError):
    """This is not sent, nor anything of its model or its asker; the others at the endpoint go on."""


class Standing:
    """The models and askers of one endpoint that are left out, each with a line for a person."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._models: dict[str, str] = {}
        self._askers: dict[str, str] = {}
        self._replied: set[str] = set()
        self._rejections: Counter[str] = Counter()

    def reason(self, model: str, asker: str) -> str | None:
        """Why this model, or this asker, is left out; None where it is not."""
        return self._models.get(model) or self._askers.get(asker)

    def check(self, call: Call) -> None:
        """Raises LeftOutError where the call is not to be sent."""
        if (reason := self.reason(call.model, call.about.asker)) is not None:
            raise LeftOutError(reason)

    def unknown(self, model: str) -> LeftOutError:
        """The endpoint does not know a model: nothing more is asked of it. The error to raise."""
        self._models[model] = (
            f"{where_is(self._endpoint)} does not know the model {model} (HTTP 404); check model and base_url"
        )
        return LeftOutError(self._models[model])

    def replied(self, asker: str) -> None:
        """An asker got a reply, in this run or an earlier one: it is never left out for its rejections."""
        self._replied.add(asker)

    def rejected(self, asker: str, words: str) -> None:
        """The endpoint rejected a call of an asker, in these words."""
        self._rejections[asker] += 1
        if asker not in self._replied and self._rejections[asker] >= HOPELESS:
            self._askers.setdefault(
                asker,
                f"{where_is(self._endpoint)} rejects all that {asker} asks (the first {HOPELESS}; {words}); "
                f"check the model, extra and omit of {asker}",
            )
