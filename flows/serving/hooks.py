"""The HTTP application that Label Studio's webhooks call: POST /webhook, GET /health, GET /metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from flows.serving.answers import body_of, handlers, is_secret
from flows.serving.puller import Puller
from flows.serving.requests import RefusedError

SECRET_HEADER = "X-Odds-Secret"  # noqa: S105 - the name of a header, not a secret
HELP = {
    "hints_total": "Webhooks with the secret.",
    "hints_refused_total": "Webhooks without the secret.",
    "pulls_total": "Pulls that were begun.",
    "pulls_failed_total": "Pulls that failed; each is tried again.",
    "judgments_new_total": "New judgments that pulls brought.",
    "pull_wanted": "Whether a pull is due (1) or not (0).",
    "last_pull_seconds": "When the last pull succeeded (Unix time); 0 if none did.",
}


def application(puller: Puller, secret: str, report: Callable[[str], None]) -> Starlette:
    """Return the application that takes webhooks as hints. It reads nothing of what they hold.

    Args:
        puller: What is hinted at.
        secret: What a webhook must have in its header `SECRET_HEADER`.
        report: Takes a line about each failure on our side.
    """

    async def webhook(request: Request) -> Response:
        if not is_secret(request.headers.get(SECRET_HEADER, ""), secret):
            puller.refused()
            raise RefusedError(403, f"the secret is missing or wrong: send it in the header {SECRET_HEADER}")
        await body_of(request)
        puller.hint()
        return JSONResponse({"status": "heard"}, 202)

    async def health(_: Request) -> Response:
        counts = puller.counts()
        return JSONResponse({"status": "ok", "last_pull_seconds": counts["last_pull_seconds"]})

    async def metrics(_: Request) -> Response:
        return PlainTextResponse(exposition(puller.counts()), media_type="text/plain; version=0.0.4")

    return Starlette(
        routes=[
            Route("/webhook", webhook, methods=["POST"]),
            Route("/health", health),
            Route("/metrics", metrics),
        ],
        exception_handlers=handlers(report),
    )


def exposition(counts: Mapping[str, float]) -> str:
    """Return counts in the text format of Prometheus."""
    lines = []
    for name, value in counts.items():
        kind = "counter" if name.endswith("_total") else "gauge"
        lines += [f"# HELP odds_{name} {HELP[name]}", f"# TYPE odds_{name} {kind}", f"odds_{name} {value:.15g}"]
    return "\n".join([*lines, ""])
