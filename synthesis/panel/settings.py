"""Who is asked, and how: the settings of endpoints, labelers and proposers, and the defaults that need no account."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from warehouse.records import Count, JudgeMode, Method, Probability, Share, Text

EMBEDDED: Literal["embedded"] = "embedded"
LOCAL_MODEL = "SmolLM2-135M-Instruct"

Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Prices: TypeAlias = tuple[float | None, float | None]
"""What a million tokens in and out cost, in the currency of the team; None where it is not known."""
Positive = Annotated[int, Field(ge=1)]
Omittable = Literal["temperature", "seed", "max_tokens"]
DerivedKind = Literal["strengthened", "weakened", "negation", "paraphrase", "conjunction", "rewritten"]
MadeKind = Literal["proposed", DerivedKind]

NEIGHBOURS = 2
TOP_LOGPROBS = 20
SEVERAL: frozenset[MadeKind] = frozenset({"strengthened", "weakened", "paraphrase"})
"""What a proposition has several of, each in one request."""

PROMPTS_OF_KIND: Mapping[DerivedKind, str] = {
    "strengthened": "strengthen",
    "weakened": "weaken",
    "negation": "negate",
    "paraphrase": "paraphrase",
    "conjunction": "conjoin",
    "rewritten": "rewrite",
}
SENT_BY_US = frozenset(
    {
        "model",
        "messages",
        "max_tokens",
        "temperature",
        "seed",
        "logprobs",
        "top_logprobs",
        "response_format",
        "n",
        "stream",
    }
)


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Endpoint(_Settings):
    """An OpenAI-compatible endpoint. Prices are per million tokens, in whatever currency the team counts.

    `base_url` is the address up to and including `/v1`, or "embedded" for the local server, whose real address is put
    in when it has started. `api_key_env` names the environment variable that holds the key; the key itself is never
    a setting. The limits hold for all who are asked there together; a labeler may have narrower ones of its own.

    `patience_s` is how long an endpoint that has answered before may be down before the run goes on without it.
    `batch_price` is what a request of its batch interface costs, as a share of the price.
    """

    name: Text
    base_url: Text
    api_key_env: Text | None = None
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
            raise ValueError('base_url is "embedded" or an address such as https://host/v1')
        if parts.username or parts.password or parts.query:
            raise ValueError("base_url holds no user, password or query; name the key's variable in api_key_env")
        return value.rstrip("/")


class ModelConfig(_Settings):
    """Who asks a model, and how: what a labeler, a proposer and a judge share.

    `prompt` is a prompt of the package or the path of a prompt file. `omit` names parameters that are not sent, for
    endpoints that refuse them; `extra` is sent beside them as it stands, such as {reasoning_effort = "low"}.
    Without `system_turn` a prompt's system text opens the user's turn, for models that know no other.
    Prices and limits stand above those of the endpoint where they are given; the endpoint's limits hold too.
    """

    name: Text
    endpoint: Text
    model: Text
    temperature: Temperature | None = 0.0
    max_tokens: Positive = 256
    seed: Count | None = 0
    omit: tuple[Omittable, ...] = ()
    extra: dict[str, Any] = {}
    system_turn: bool = True
    price_in: Price | None = None
    price_out: Price | None = None
    max_in_flight: Positive | None = None
    requests_per_minute: Positive | None = None
    tokens_per_minute: Positive | None = None

    @field_validator("extra")
    @classmethod
    def _extra_is_extra(cls, value: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(set(value) & SENT_BY_US):
            raise ValueError(f"extra holds {taken[0]}, which is sent anyway; use the setting of that name")
        return value

    @property
    def sampling(self) -> dict[str, Any]:
        """The sampling settings that always count towards a version."""
        return {"temperature": self.temperature, "max_tokens": self.max_tokens, "seed": self.seed}

    @property
    def further(self) -> dict[str, Any]:
        """Those that count where they are set: one that is added later leaves the versions of today as they are."""
        settings = {"omit": sorted(self.omit), "extra": self.extra}
        own = {} if self.system_turn else {"system_turn": False}
        return {name: value for name, value in settings.items() if value} | own


class Labeler(ModelConfig):
    """An LLM with a prompt and sampling settings.

    `samples` is the number of replies of the method mean_of_samples and 1 for every other method. `compared_with` is
    the number of propositions of the same premise that the method pairwise sets each one beside. `top_logprobs` is how
    many alternatives of the first token the method token asks for.
    """

    prompt: Text
    method: Method
    samples: Positive = 1
    compared_with: Positive = NEIGHBOURS
    top_logprobs: Annotated[int, Field(ge=2)] = TOP_LOGPROBS

    @model_validator(mode="after")
    def _method_is_possible(self) -> Labeler:
        if (self.method == "mean_of_samples") != (self.samples > 1):
            raise ValueError("samples is 2 or more with the method mean_of_samples, and 1 with every other method")
        if self.method == "mean_of_samples" and self.temperature == 0:
            raise ValueError("mean_of_samples needs a temperature above 0: its samples would all be the same")
        if self.method != "pairwise" and self.compared_with != NEIGHBOURS:
            raise ValueError("compared_with belongs to the method pairwise")
        if self.method != "token" and self.top_logprobs != TOP_LOGPROBS:
            raise ValueError("top_logprobs belongs to the method token")
        return self

    @property
    def further(self) -> dict[str, Any]:
        """As for every config, and the alternatives of a token where they are not the usual number."""
        own = {} if self.top_logprobs == TOP_LOGPROBS else {"top_logprobs": self.top_logprobs}
        return super().further | own

    def with_prompts(self, place: Callable[[str], str]) -> Labeler:
        """The same labeler, with `place` put to the name of the prompt."""
        return self.model_copy(update={"prompt": place(self.prompt)})


class Proposer(ModelConfig):
    """An LLM that writes propositions: `per_target` hypotheses for each target probability, one request a target.

    `kinds` says what is written. All but "proposed" are made from propositions that are there: `per_proposition`
    strengtheners, weakeners and paraphrases each, one negation, one conjunction with the next hypothesis of its
    premise, one rewriting for clarity. `prompts` names other prompts than the package's for kinds.
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
            named = "target probabilities" if info.field_name == "targets" else "kinds"
            raise ValueError(f"the {named} must differ from each other")
        return value

    def with_prompts(self, place: Callable[[str], str]) -> Proposer:
        """The same proposer, with `place` put to the name of each prompt."""
        prompts = {kind: place(prompt) for kind, prompt in self.prompts.items()}
        return self.model_copy(update={"prompt": place(self.prompt), "prompts": prompts})

    def prompt_of(self, kind: MadeKind) -> str:
        """The prompt that writes propositions of this kind."""
        return self.prompt if kind == "proposed" else self.prompts.get(kind, PROMPTS_OF_KIND[kind])

    def count_of(self, kind: MadeKind) -> int:
        """How many texts of this kind a request asks for."""
        if kind == "proposed":
            return self.per_target
        return self.per_proposition if kind in SEVERAL else 1


class Judge(ModelConfig):
    """An LLM that reads the answers of a panel that disagrees, and says how far it trusts each.

    It is asked where the largest and the smallest estimate of a proposition differ by more than `threshold`. The mode
    is confidence (a number in [0, 1]) or keep_drop. Reasoning of more than `summarise_above` characters is summarised
    first, by the same model, with a request each.
    """

    mode: JudgeMode = "confidence"
    prompt: Text | None = None
    summary_prompt: Text = "summarise"
    summarise_above: Positive = 600
    threshold: Share = 0.5
    max_tokens: Positive = 512

    @property
    def prompt_name(self) -> str:
        """The prompt of the mode, where none is named."""
        return self.prompt or ("judge" if self.mode == "confidence" else "judge_keep_drop")

    def with_prompts(self, place: Callable[[str], str]) -> Judge:
        """The same judge, with `place` put to the name of each prompt."""
        return self.model_copy(update={"prompt": place(self.prompt_name), "summary_prompt": place(self.summary_prompt)})


def prices_of(endpoint: Endpoint, config: ModelConfig | None) -> Prices:
    """What the endpoint takes of this config: each of the config's own prices stands above the endpoint's."""
    price_in, price_out = (config.price_in, config.price_out) if config else (None, None)
    return (
        endpoint.price_in if price_in is None else price_in,
        endpoint.price_out if price_out is None else price_out,
    )


DEFAULT_ENDPOINT = Endpoint(
    name=EMBEDDED, base_url=EMBEDDED, max_in_flight=4, timeout_s=180.0, price_in=0.0, price_out=0.0
)

DEFAULT_PANEL: tuple[Labeler, ...] = (
    Labeler(
        name="smol-verbalised",
        endpoint=EMBEDDED,
        model=LOCAL_MODEL,
        prompt="verbalised_short",
        method="verbalised",
        temperature=0.7,
        max_tokens=64,
        seed=1,
    ),
    Labeler(
        name="smol-scale20",
        endpoint=EMBEDDED,
        model=LOCAL_MODEL,
        prompt="scale20",
        method="scale20",
        temperature=0.7,
        max_tokens=16,
        seed=1,
    ),
    Labeler(
        name="smol-token",
        endpoint=EMBEDDED,
        model=LOCAL_MODEL,
        prompt="token",
        method="token",
        temperature=0.0,
        max_tokens=1,
        seed=1,
    ),
)

DEFAULT_PROPOSER = Proposer(
    name="smol-proposer",
    endpoint=EMBEDDED,
    model=LOCAL_MODEL,
    per_target=1,
    temperature=0.6,
    max_tokens=64,
    seed=1,
)

DEFAULT_JUDGE = Judge(
    name="smol-judge",
    endpoint=EMBEDDED,
    model=LOCAL_MODEL,
    temperature=0.6,
    max_tokens=96,
    seed=1,
)
