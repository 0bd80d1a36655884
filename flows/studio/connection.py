"""Label Studio, opened from the settings; apart from the other services, since its client is slow to load."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from threading import Thread

from annotation.studio import server
from annotation.studio.client import Studio, connect
from flows.settings.settings import Config, Settings, load_settings
from flows.terminal.activity import activity
from flows.terminal.console import note
from synthesis.panel.settings import EMBEDDED
from warehouse.errors import InputError, OddsError


def studio_address(settings: Settings) -> tuple[str, str]:
    """Return the address and the token of Label Studio; the embedded one is started if needed."""
    if settings.annotation.url == EMBEDDED:
        command = server.find_command(settings.annotation.command and settings.path(settings.annotation.command))
        with activity("waiting for Label Studio"):
            address = server.start(settings.home_path, command, port=settings.annotation.port, on_progress=note)
        return address.url, address.token
    name = settings.annotation.token_env
    token = os.environ.get(name, "")
    if not token.strip():
        raise InputError(f"environment variable {name} is empty: set it to a token of {settings.annotation.url}")
    return settings.annotation.url, token.strip()


def studio_start(*, config: Config = None) -> str:
    """Start the embedded Label Studio if it is not running, and return the address of Label Studio."""
    return studio_address(load_settings(config))[0]


def studio_stop(*, config: Config = None) -> bool:
    """Stop the embedded Label Studio, whose data stays. Returns whether it was running."""
    return server.stop(load_settings(config).home_path)


@contextmanager
def starting_beside(settings: Settings) -> Iterator[None]:
    """Start the embedded Label Studio in the background; what needs it waits until it answers.

    It is stopped again if the block fails before it answers, as on Ctrl-C.

    Raises:
        InputError: Label Studio is not installed.
    """
    if settings.annotation.url != EMBEDDED:
        yield
        return
    command = server.find_command(settings.annotation.command and settings.path(settings.annotation.command))

    def start() -> None:
        with suppress(OddsError):  # what needs it starts it again and gets the same error
            server.start(settings.home_path, command, port=settings.annotation.port, on_progress=note)

    thread = Thread(target=start, daemon=True)
    thread.start()
    try:
        yield
    except BaseException:
        if thread.is_alive():
            server.stop(settings.home_path, grace_s=0.5)
        raise


def connecting(settings: Settings) -> Callable[[], Studio]:
    """Connect to Label Studio while the warehouse opens; the returned function waits for the connection.

    An embedded server that does not run yet is started only when the function is called.
    """
    if settings.annotation.url == EMBEDDED and server.running(settings.home_path) is None:
        return lambda: connect(*studio_address(settings))
    address = studio_address(settings)
    connected: Future[Studio] = Future()

    def work() -> None:
        try:
            connected.set_result(connect(*address))
        except BaseException as error:
            connected.set_exception(error)

    Thread(target=work, daemon=True, name="connecting").start()
    return connected.result


def studio_login(settings: Settings) -> str:
    """Return a line with the address of Label Studio and, if embedded, where its login is stored."""
    if settings.annotation.url != EMBEDDED:
        return f"Label Studio: {settings.annotation.url}, project {settings.annotation.project}"
    address = server.running(settings.home_path)
    if address is None:
        return "Label Studio is not running; odds studio start"
    return f"Label Studio: {address.url} (login {address.username}, password in {address.credentials})"
