"""Runs an application under uvicorn until a signal arrives."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address

import uvicorn
from starlette.applications import Starlette

from flows.terminal.stopping import SIGNALS
from warehouse.errors import InputError

NO_LOG = 60
"""Above every level: the log of uvicorn has tracebacks, and those may have texts."""


def run(app: Starlette, listener: socket.socket, ready: Callable[[], object]) -> None:
    """Run an application on a bound socket; `ready` is called once it answers.

    Raises:
        KeyboardInterrupt: a signal arrived. Requests were given a second to end.
    """
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            log_level=NO_LOG,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
            loop="asyncio",  # others take the descriptor that flows.terminal.stopping listens to
            http="h11",
            ws="none",
            lifespan="off",
        )
    )
    server.ready = ready
    server.run(sockets=[listener])
    raise KeyboardInterrupt


class _Server(uvicorn.Server):
    """A server that a signal asks to end, and that leaves it to `odds` to say so."""

    ready: Callable[[], object]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell that it answers."""
        await super().startup(sockets)
        self.ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End at a signal, and don't raise it again."""
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread gets signals
            return
        before = {number: signal.signal(number, self._stop) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, *_: object) -> None:
        self.should_exit = True


@contextmanager
def bound(command: str, host: str, port: int) -> Iterator[socket.socket]:
    """Yield a socket of a command that has an address but does not listen yet. The system chooses if the port is 0.

    Raises:
        InputError: the address is not one of this machine, or in use.
    """
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise InputError(f"odds {command}: {host} is not an address of this machine: {error.strerror}") from error
    with listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(place)
        except OSError as error:
            raise InputError(
                f"odds {command}: cannot listen on {host}, port {port}: {error.strerror}; "
                "choose another --port or --host"
            ) from error
        yield listener


def address_of(host: str, listener: socket.socket) -> str:
    """Return the address of a bound socket, such as http://127.0.0.1:8710."""
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


def is_wildcard(listener: socket.socket) -> bool:
    """Return whether a bound socket takes calls to every address of this machine, so that its own is none of them."""
    return ip_address(listener.getsockname()[0]).is_unspecified


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a server that listens on this host."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:  # the name of another machine, or of this one
        return False
