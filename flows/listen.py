"""Listen: an HTTP server that Label Studio's webhooks call, and that pulls soon after."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

from annotation.studio.client import Studio
from annotation.studio.webhooks import register as register_webhook
from flows.pull import pull
from flows.settings.settings import Config, Settings, load_settings
from flows.stages.services import reading
from flows.studio.connection import connecting
from flows.studio.projects import project_of, projects
from flows.terminal.console import note
from warehouse.errors import InputError

HOST = "127.0.0.1"
PORT = 8711
EVERY_MINUTES = 60.0
SECRET_VARIABLE = "ODDS_LISTEN_SECRET"  # noqa: S105 - the name of a variable, not a secret
PATIENCE_S = 10.0
"""How long a pull that is under way may take to end after Ctrl-C."""


class Listening(NamedTuple):
    """What `listen` says once it answers: the address of webhooks, and how many were created or corrected."""

    url: str
    registered: int | None


def listen(
    *,
    host: str = HOST,
    port: int = PORT,
    register: bool = False,
    url: str | None = None,
    every_minutes: float = EVERY_MINUTES,
    ready: Callable[[Listening], object] | None = None,
    config: Config = None,
) -> None:
    """Pull the judgments within seconds after Label Studio's webhooks tell of them, until Ctrl-C or SIGTERM.

    A webhook is only a hint, and what it holds is not read. It must have the secret, which is that of
    `ODDS_LISTEN_SECRET`, or else one that is derived from the token of Label Studio.

    Args:
        host: The address to listen on.
        port: The port; 0 lets the system choose one.
        register: First create the webhook in each project of the settings; doing so again changes nothing.
        url: The address that Label Studio is to call, if it is another one, such as that of a proxy.
        every_minutes: Pull at least this often, since Label Studio never repeats a webhook that failed.
        ready: Called once the server answers.
        config: The settings, or the file to read them from.

    Raises:
        InputError: the address cannot be used, Label Studio refuses it, or a project does not exist.
        ServiceError: Label Studio cannot be reached.
        KeyboardInterrupt: Ctrl-C or SIGTERM arrived.
    """
    # imported here, so that flows.api loads fast
    from flows.serving.hooks import SECRET_HEADER, application
    from flows.serving.puller import Puller
    from flows.serving.server import address_of, bound, is_wildcard, run

    _check(url, every_minutes)
    settings = load_settings(config)

    def told(line: str) -> None:
        note(f"listen: {line}")

    with bound("listen", host, port) as listener:
        if register and url is None and is_wildcard(listener):
            raise InputError(
                f"odds listen: --register needs --url with {host}, such as http://HOST:{port}/webhook: "
                "Label Studio cannot call that address"
            )
        called = url or f"{address_of(host, listener)}/webhook"
        studio = connecting(settings)()
        secret = secret_of(studio)
        registered = _registered(settings, studio, called, {SECRET_HEADER: secret}) if register else None
        puller = Puller(lambda: pull.fn(config=settings), told, every_s=every_minutes * 60)

        def answers() -> None:
            puller.start()  # what was annotated before it answers is in the first pull
            if ready is not None:
                ready(Listening(called, registered))

        try:
            run(application(puller, secret, told), listener, answers)
        finally:
            puller.end(PATIENCE_S)


def secret_of(studio: Studio) -> str:
    """Return the secret of webhooks: the one in the environment, else one that is derived from the token."""
    return os.environ.get(SECRET_VARIABLE, "").strip() or studio.derived_secret("webhooks")


def _registered(settings: Settings, studio: Studio, url: str, headers: dict[str, str]) -> int:
    """Create the webhook in each project of the settings, and return how many were created or corrected."""
    with reading(settings) as warehouse:
        found = [project_of(warehouse, studio, project) for project in projects(settings)]
    return sum(register_webhook(studio, project.id, url, headers) for project in found)


def _check(url: str | None, every_minutes: float) -> None:
    parts = urlsplit(url or "http://localhost")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InputError(f"odds listen: --url {url} is not an address such as http://odds.example.org/webhook")
    if not 0 < every_minutes <= 7 * 24 * 60:
        raise InputError(f"odds listen: --every must be above 0 and at most a week in minutes, not {every_minutes:g}")
