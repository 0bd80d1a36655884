"""The panel, proposer and judge of the embedded model: they need no account and no network."""

from __future__ import annotations

from synthesis.panel.settings import EMBEDDED, LOCAL_MODEL, Endpoint, Judge, Labeler, Proposer

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
