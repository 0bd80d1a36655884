"""Label Studio, opened from the settings; apart from the other services, since its client is large to load."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

from annotation import server
from annotation.studio import Studio, connect
from annotation.sync import ensure_project
from flows.activity import activity
from flows.console import note
from flows.settings import Settings
from synthesis.panel import EMBEDDED
from warehouse.errors import InputError, OddsError


def studio_address(settings: Settings) -> tuple[str, str]:
    """The address and the token of Label Studio; the embedded one is started where it does not run yet."""
    if settings.annotation.url == EMBEDDED:
        command = server.find_command(settings.annotation.command and settings.path(settings.annotation.command))
        with activity("waiting for Label Studio"):
            address = server.start(settings.home_path, command, port=settings.annotation.port, on_progress=note)
        return address.url, address.token
    name = settings.annotation.token_env
    token = os.environ.get(name)
    if not token:
        raise InputError(f"environment variable {name} is empty: it must hold a token of {settings.annotation.url}")
    return settings.annotation.url, token


@contextmanager
def starting_beside(settings: Settings) -> Iterator[None]:
    """Starts the embedded Label Studio beside what is done meanwhile; whoever needs it waits until it answers.

    Where that work ends in an error before it answers, as on Ctrl-C, it is stopped again. Raises `InputError` where
    Label Studio is not installed.
    """
    if settings.annotation.url != EMBEDDED:
        yield
        return
    command = server.find_command(settings.annotation.command and settings.path(settings.annotation.command))

    def start() -> None:
        with suppress(OddsError):  # whoever needs it starts it again, and meets the same error
            server.start(settings.home_path, command, port=settings.annotation.port, on_progress=note)

    thread = Thread(target=start, daemon=True)
    thread.start()
    try:
        yield
    except BaseException:
        if thread.is_alive():
            server.stop(settings.home_path, grace_s=0.5)
        raise


def project_of(settings: Settings) -> tuple[Studio, int]:
    """A client of the Label Studio that the settings name, and their project there, which is made where needed."""
    client = connect(*studio_address(settings))
    annotation = settings.annotation
    return client, ensure_project(client, annotation.project, overlap=annotation.judgments_per_proposition)


def studio_login(settings: Settings) -> str:
    """Where Label Studio stands and where the embedded one keeps its login; the password itself is never printed."""
    if settings.annotation.url != EMBEDDED:
        return f"Label Studio: {settings.annotation.url}, project {settings.annotation.project}"
    address = server.running(settings.home_path)
    if address is None:
        return "Label Studio is not running; odds studio start"
    return f"Label Studio: {address.url} (login {address.username}, password in {address.credentials})"
