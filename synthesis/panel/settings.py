"""The settings of endpoints, labelers, proposers and judges."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from warehouse.records import ESTIMATOR, Count, JudgeMode, LLMMethod, Probability, Share, Text

EMBEDDED: Literal["embedded"] = "embedded"
LOCAL_MODEL = "SmolLM2-135M-Instruct"
PRODUCTION = "production"
"""The model of a labeler that is the estimator in use."""

Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Prices: TypeAlias = tuple[float | None, float | None]
"""What a million tokens in and out cost, in the team's currency; None if unknown."""
Positive = Annotated[int, Field(ge=1)]
Omittable = Literal["temperature", "seed", "max_tokens"]
DerivedKind = Literal["strengthened", "weakened", "negation", "paraphrase", "conjunction", "rewritten"]
MadeKind = Literal["proposed", DerivedKind]

NEIGHBOURS = 2
TOP_LOGPROBS = 20
SEVERAL: frozenset[MadeKind] = frozenset({"strengthened", "weakened", "paraphrase"})
"""The kinds of which one request writes several texts."""

PROMPTS_OF_KIND: Mapping[DerivedKind, str] = {
    "strengthened": "strengthen",
    "weakened": "weaken",
    "negation": "negate",
    "paraphrase": "paraphrase",
    "conjunction": "conjoin",
    "rewritten": "rewrite",
}
_SAMPLING = ("max_tokens", "temperature", "seed", "logprobs", "top_logprobs")
SENT_BY_US = frozenset({"model", "messages", *_SAMPLING, "response_format", "n", "stream"})


def _names_a_variable(value: str) -> str:
    """Return the name of an environment variable. The message does not repeat the value, which may be a secret."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        raise ValueError(
            "name an environment variable: letters, digits and underscores, no digit first; the secret itself goes "
            "into that variable"
        )
    return value


VariableName = Annotated[str, AfterValidator(_names_a_variable)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Endpoint(_Settings):
    """An OpenAI-compatible endpoint. Prices are per million tokens, in the team's currency.

    `base_url` is the address up to and including `/v1`, or "embedded" for the local server, whose real address is
    filled in once it has started. `api_key_env` names the environment variable that holds the key; the key itself is
    never a setting. The limits hold for all requests to the endpoint; a labeler may have narrower ones of its own.

    `patience_s` is how long an endpoint that has answered before may be down before the run goes on without it.
    `batch_price` is what a request through the batch interface costs, as a share of the price.
    """

    name: Text
    base_url: Text
    api_key_env: VariableName | None = None
    max_in_flight: Positive = 8
    timeout_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 60.0
    max_attempts: Positive = 4
    patience_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 300.0
    requests_per_minute: Positive | None = None
    tokens_per_minute: Positive | None = None
    price_in: Price | None = None
    price_out: Price | None = None
    batch_price: Share = 0.5

    @field_validator("base_url")
    @classmethod
    def _plain_address(cls, value: str) -> str:
        if value == EMBEDDED:
            return value
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError('base_url must be "embedded" or an address such as https://host/v1')
        if parts.username or parts.password or parts.query:
            raise ValueError("base_url must not hold a user, password or query; name the key's variable in api_key_env")
        return value.rstrip("/")


class ModelConfig(_Settings):
    """A model with its sampling settings: what labelers, proposers and judges share.

    `prompt` is a prompt of the package or the path of a prompt file. `omit` names parameters that are not sent, for
    endpoints that refuse them; `extra` is sent as it is, for example {reasoning_effort = "low"}. Without `system_turn`
    a prompt's system text opens the user's turn, for models without a system role. Prices override those of the
    endpoint; limits hold in addition to the endpoint's.
    """

    name: Text
    endpoint: Text
    model: Text
    temperature: Temperature | None = 0.0
    max_tokens: Positive = 256
    seed: Count | None = 0
    omit: tuple[Omittable, ...] = ()
    extra: dict[str, JsonValue] = {}
    system_turn: bool = True
    price_in: Price | None = None
    price_out: Price | None = None
    max_in_flight: Positive | None = None
    requests_per_minute: Positive | None = None
    tokens_per_minute: Positive | None = None

    @field_validator("extra")
    @classmethod
    def _extra_is_extra(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if taken := sorted(set(value) & SENT_BY_US):
            raise ValueError(f"extra must not hold {taken[0]}: it is sent anyway; use the setting of that name")
        most = value.get("max_completion_tokens", 1)
        if type(most) is not int or most < 1:
            raise ValueError("max_completion_tokens must be a whole number above 0: it bounds the cost of a reply")
        return value

    @property
    def sampling(self) -> dict[str, Any]:
        """The sampling settings that are always part of a version."""
        return {"temperature": self.temperature, "max_tokens": self.max_tokens, "seed": self.seed}

    @property
    def further(self) -> dict[str, Any]:
        """Settings that are part of a version only if set, so that new settings leave old versions unchanged."""
        settings = {"omit": sorted(self.omit), "extra": self.extra}
        own = {} if self.system_turn else {"system_turn": False}
        return {name: value for name, value in settings.items() if value} | own


class Labeler(ModelConfig):
    """An LLM with a prompt and sampling settings.

    `samples` is the number of replies for the method mean_of_samples, and 1 for every other method. `compared_with` is
    how many other propositions of its premise the method pairwise compares each one with. `top_logprobs` is how many
    alternatives of the first token the method token asks for.
    """

    prompt: Text
    method: LLMMethod
    samples: Positive = 1
    compared_with: Positive = NEIGHBOURS
    top_logprobs: Annotated[int, Field(ge=2)] = TOP_LOGPROBS

    @model_validator(mode="after")
    def _method_is_possible(self) -> Labeler:
        if (self.method == "mean_of_samples") != (self.samples > 1):
            raise ValueError(
                "samples must be at least 2 with the method mean_of_samples, and 1 with every other method"
            )
        if self.method == "mean_of_samples" and self.temperature == 0:
            raise ValueError("mean_of_samples needs a temperature above 0; otherwise all samples are the same")
        if self.method != "pairwise" and self.compared_with != NEIGHBOURS:
            raise ValueError("compared_with belongs to the method pairwise")
        if self.method != "token" and self.top_logprobs != TOP_LOGPROBS:
            raise ValueError("top_logprobs belongs to the method token")
        return self

    @property
    def further(self) -> dict[str, Any]:
        """As for every model config, plus top_logprobs if it is not the default."""
        own = {} if self.top_logprobs == TOP_LOGPROBS else {"top_logprobs": self.top_logprobs}
        return super().further | own

    def with_prompts(self, place: Callable[[str], str]) -> Labeler:
        """The same labeler, with `place` applied to the name of its prompt."""
        return self.model_copy(update={"prompt": place(self.prompt)})


class EstimatorLabeler(_Settings):
    """An estimator as a labeler: it is scored, so it has no endpoint, prompt or price.

    `model` is "production" (the estimator in use), "pretrained", the id of one or the start of it, or a folder.
    """

    name: Text
    method: Literal["estimator"]
    model: Text = PRODUCTION


def _kind_of_labeler(value: object) -> str:
    method = value.get("method") if isinstance(value, Mapping) else getattr(value, "method", None)
    return ESTIMATOR if method == ESTIMATOR else "llm"


AnyLabeler: TypeAlias = Annotated[
    Annotated[Labeler, Tag("llm")] | Annotated[EstimatorLabeler, Tag(ESTIMATOR)], Discriminator(_kind_of_labeler)
]
"""A labeler of the panel: an LLM, or an estimator."""


class Proposer(ModelConfig):
    """An LLM that writes propositions: `per_target` hypotheses for each target probability, in one request per target.

    `kinds` says what it writes. All but "proposed" are derived from existing propositions: `per_proposition`
    strengtheners, weakeners and paraphrases each, one negation, one conjunction with the premise's next hypothesis,
    one rewriting for clarity. `prompts` replaces the package's prompts of some kinds.
    """

    prompt: Text = "propose"
    targets: tuple[Probability, ...] = Field(default=(0.1, 0.3, 0.5, 0.7, 0.9), min_length=1)
    per_target: Positive = 2
    kinds: tuple[MadeKind, ...] = Field(default=("proposed",), min_length=1)
    per_proposition: Positive = 1
    prompts: dict[DerivedKind, Text] = {}
    near_duplicates: Share = 0.85
    temperature: Temperature | None = 0.8
    max_tokens: Positive = 512

    @field_validator("targets", "kinds")
    @classmethod
    def _entries_differ(cls, value: tuple[Hashable, ...], info: ValidationInfo) -> tuple[Hashable, ...]:
        if len(set(value)) != len(value):
            raise ValueError(f"{info.field_name} must differ from each other")
        return value

    def with_prompts(self, place: Callable[[str], str]) -> Proposer:
        """The same proposer, with `place` applied to the name of each prompt."""
        prompts = {kind: place(prompt) for kind, prompt in self.prompts.items()}
        return self.model_copy(update={"prompt": place(self.prompt), "prompts": prompts})

    def prompt_of(self, kind: MadeKind) -> str:
        """The prompt that writes propositions of this kind."""
        return self.prompt if kind == "proposed" else self.prompts.get(kind, PROMPTS_OF_KIND[kind])

    def count_of(self, kind: MadeKind) -> int:
        """How many texts of this kind one request asks for."""
        if kind == "proposed":
            return self.per_target
        return self.per_proposition if kind in SEVERAL else 1


class Judge(ModelConfig):
    """An LLM that reads the answers of a panel that disagrees, and says how far it trusts each of them.

    It judges propositions whose largest and smallest estimates differ by more than `threshold`. The mode is confidence
    (a number in [0, 1]) or keep_drop. The same model first summarises reasoning of more than `summarise_above`
    characters, in one request each.
    """

    mode: JudgeMode = "confidence"
    prompt: Text | None = None
    summary_prompt: Text = "summarise"
    summarise_above: Positive = 600
    threshold: Share = 0.5
    max_tokens: Positive = 512

    @property
    def prompt_name(self) -> str:
        """The prompt, or the default one of the mode."""
        return self.prompt or ("judge" if self.mode == "confidence" else "judge_keep_drop")

    def with_prompts(self, place: Callable[[str], str]) -> Judge:
        """The same judge, with `place` applied to the name of each prompt."""
        return self.model_copy(update={"prompt": place(self.prompt_name), "summary_prompt": place(self.summary_prompt)})


def prices_of(endpoint: Endpoint, config: ModelConfig | None) -> Prices:
    """The prices of a model config at an endpoint: its own, or else the endpoint's."""
    price_in, price_out = (config.price_in, config.price_out) if config else (None, None)
    return (
        endpoint.price_in if price_in is None else price_in,
        endpoint.price_out if price_out is None else price_out,
    )
