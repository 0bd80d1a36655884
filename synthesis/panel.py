"""Who is asked, and how: the settings of endpoints, labelers and proposers, and the defaults that need no account."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from synthesis.render import Prompt
from warehouse.records import Count, Method, Probability, Text, content_id

EMBEDDED: Literal["embedded"] = "embedded"
LOCAL_MODEL = "SmolLM2-135M-Instruct"

Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[int, Field(ge=1)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Endpoint(_Settings):
    """An OpenAI-compatible endpoint. Prices are per million tokens, in whatever currency the team counts.

    `base_url` is the address up to and including `/v1`, or "embedded" for the local server, whose real address is put
    in when it has started. `api_key_env` names the environment variable that holds the key; the key itself is never
    a setting.
    """

    name: Text
    base_url: Text
    api_key_env: Text | None = None
    max_in_flight: Positive = 8
    timeout_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 60.0
    max_attempts: Positive = 4
    price_in: Price | None = None
    price_out: Price | None = None

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


class Labeler(_Settings):
    """An LLM with a prompt and sampling settings. `prompt` is a prompt of the package or the path of a prompt file.

    `temperature` and `seed` are not sent where they are None (some endpoints refuse them). `samples` is the number of
    replies of the method mean_of_samples and 1 for every other method.
    """

    name: Text
    endpoint: Text
    model: Text
    prompt: Text
    method: Method
    temperature: Temperature | None = 0.0
    max_tokens: Positive = 256
    seed: Count | None = 0
    samples: Positive = 1

    @model_validator(mode="after")
    def _method_is_possible(self) -> Labeler:
        if self.method == "pairwise":
            raise ValueError("the method pairwise is not available; use verbalised, scale20, token or mean_of_samples")
        if (self.method == "mean_of_samples") != (self.samples > 1):
            raise ValueError("samples is 2 or more with the method mean_of_samples, and 1 with every other method")
        if self.method == "mean_of_samples" and self.temperature == 0:
            raise ValueError("mean_of_samples needs a temperature above 0: its samples would all be the same")
        return self


class Proposer(_Settings):
    """An LLM that writes hypotheses: `per_target` of them for each target probability, one request a target."""

    name: Text
    endpoint: Text
    model: Text
    prompt: Text = "propose"
    targets: tuple[Probability, ...] = Field(default=(0.1, 0.3, 0.5, 0.7, 0.9), min_length=1)
    per_target: Positive = 2
    temperature: Temperature | None = 0.8
    max_tokens: Positive = 512
    seed: Count | None = 0

    @field_validator("targets")
    @classmethod
    def _targets_differ(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(value)) != len(value):
            raise ValueError("the target probabilities must differ from each other")
        return value


def labeler_version(labeler: Labeler, prompt: Prompt) -> str:
    """The id of everything that changes what the labeler is asked: model, method, prompt text and sampling.

    The labeler's name and the endpoint are left out: the same model behind another address is the same version.
    """
    settings = labeler.model_dump_json(exclude={"name", "endpoint", "prompt"})
    return content_id("labeler", settings, prompt.revision)


DEFAULT_ENDPOINT = Endpoint(
    name=EMBEDDED, base_url=EMBEDDED, max_in_flight=4, timeout_s=180.0, price_in=0.0, price_out=0.0
)

DEFAULT_PANEL: tuple[Labeler, ...] = (
    Labeler(
        name="smol-verbalised",
        endpoint=EMBEDDED,
        model=LOCAL_MODEL,
        prompt="verbalised",
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
