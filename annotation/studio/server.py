"""The embedded Label Studio: started in the background on loopback, found again, and stopped, by its home folder.

Label Studio needs an environment of its own, so it is a command that we start, never a module that we import. All its
files are under `HOME/label-studio`: its data, its log, the credentials (a private file) and what is known of the
running server. It is Django's development server with SQLite: good for one machine, not for a team. It may call
addresses of this machine, which Label Studio refuses by default, so that its webhooks reach `odds listen`.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Literal, NamedTuple

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from annotation.studio import credentials
from annotation.studio.process import end, ending, identity
from warehouse.errors import InputError, ServiceError

USERNAME = "odds@localhost"
HOST = "127.0.0.1"
DATABASE = "label_studio.sqlite3"
_INHERITED = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "PATH", "TMPDIR", "TZ")


class StudioAddress(NamedTuple):
    """The address of the embedded server, its first user, and the private file with the password and token."""

    url: str
    username: str
    credentials: Path
    pid: int

    @property
    def token(self) -> str:
        """The API token, read from the private file. It is not a field, so printing an address is safe."""
        return credentials.read(self.credentials).token.get_secret_value()


class _Server(BaseModel):
    """The file `server.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pid: int
    started: str
    port: int


def find_command(explicit: Path | None = None) -> Path:
    """Find `label-studio`: the given one, `$ODDS_LABEL_STUDIO`, in `.venv-label-studio` next to us, or on the PATH.

    Raises:
        InputError: it is not installed, or the one that was named does not exist.
    """
    named = explicit or (Path(value) if (value := os.environ.get("ODDS_LABEL_STUDIO")) else None)
    if named is not None:
        if os.access(named, os.X_OK) and named.is_file():
            return named.absolute()
        raise InputError(
            f"label-studio: {named} is not an executable file; name the command of a Label Studio installation"
        )
    relative = Path(".venv-label-studio", "bin", "label-studio")
    for folder in (Path.cwd(), Path(__file__).parents[2]):
        if os.access(folder / relative, os.X_OK):
            return folder / relative
    if found := shutil.which("label-studio"):
        return Path(found)
    raise InputError(
        "label-studio is not installed: run `make setup`, or `python3 -m venv .venv-label-studio` and "
        "`.venv-label-studio/bin/pip install label-studio==1.23.2`"
    )


def start(
    home: Path,
    command: Path,
    *,
    port: int | None = None,
    timeout_s: float = 300.0,
    on_progress: Callable[[str], None] = lambda _: None,
) -> StudioAddress:
    """Start the server of `home`, wait until it answers, and return its address.

    A server that already runs, or is starting, is waited for. One whose start fails or is interrupted is stopped.

    Args:
        home: The folder that holds everything the product writes.
        command: The `label-studio` executable.
        port: The port; by default the one of the last time, so that links stay valid, or a free one.
        timeout_s: How many seconds to wait for it.
        on_progress: Called with a line that says what is going on.

    Raises:
        ServiceError: it did not start in time; the message names the log file.
    """
    folder = _folder(home)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(folder):
        login = credentials.load_or_make(folder / "credentials.json", USERNAME)
        if (there := running(home)) is not None:
            pid, chosen, process = there.pid, _remembered(folder) or 0, None
        else:
            chosen = _choose_port(port, _remembered(folder))
            first = _is_first(folder, command)
            _keep_journal(folder / DATABASE, "WAL")
            on_progress(f"starting Label Studio on port {chosen}" + (", for the first time" if first else ""))
            process = _spawn(folder, command, chosen, login)
            pid = process.pid
        try:
            _wait(ending(pid, process), folder / "server.log", chosen, timeout_s)
            # If the port was taken meanwhile, Label Studio uses another one, and another server answers here.
            if process is not None and not _knows(chosen, login):
                raise ServiceError(f"another server answers on port {chosen}: start again with another port")
        except BaseException as error:
            if process is not None:  # after Ctrl-C, wait no longer than a second
                end(pid, 10.0 if isinstance(error, Exception) else 1.0)
            raise
        return StudioAddress(_url(chosen), USERNAME, folder / "credentials.json", pid)


def running(home: Path) -> StudioAddress | None:
    """Return the address of the server of `home`, or None if it does not run. A pid that was reused is recognised."""
    folder = _folder(home)
    state = _read_state(folder)
    if state is None or identity(state.pid) != state.started:
        return None
    return StudioAddress(_url(state.port), USERNAME, folder / "credentials.json", state.pid)


def stop(home: Path, grace_s: float = 10.0) -> bool:
    """Stop the server of `home`, and kill it after `grace_s` seconds. Its data and port are kept.

    Returns:
        Whether it was running.
    """
    address = running(home)
    if address is None:
        return False
    end(address.pid, grace_s)
    _keep_journal(_folder(home) / DATABASE, "DELETE")
    return True


def _folder(home: Path) -> Path:
    return (home / "label-studio").absolute()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process start a server at a time: a second one waits, then finds the server of the first."""
    with (folder / "start.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _is_first(folder: Path, command: Path) -> bool:
    """Return whether the server never ran in this folder.

    If so, copy the empty database that was created with the installation, since creating its tables takes a minute.
    """
    database = folder / DATABASE
    if database.exists():
        return False
    prepared = command.parents[1] / "empty" / DATABASE
    if prepared.is_file():
        aside = folder / f".{DATABASE}"
        shutil.copyfile(prepared, aside)
        for journal in ("-wal", "-shm"):  # of a database that was removed; SQLite would write it into the new one
            (folder / f"{DATABASE}{journal}").unlink(missing_ok=True)
        aside.replace(database)
    return True


def _keep_journal(database: Path, mode: Literal["WAL", "DELETE"]) -> None:
    """Have a server write ahead into a log of SQLite's, or put what is in the log into the database and remove it.

    With the log a judgment, which is nine transactions, waits for the disk 10 times instead of 36. Without one, the
    database is a single file that can be copied. On a file system that cannot hold a log, nothing changes.
    """
    if database.exists():
        with suppress(sqlite3.Error), closing(sqlite3.connect(database)) as connection:
            connection.execute(f"PRAGMA journal_mode = {mode}")


def _read_state(folder: Path) -> _Server | None:
    try:
        return _Server.model_validate_json((folder / "server.json").read_text())
    except (FileNotFoundError, ValidationError):
        return None


def _remembered(folder: Path) -> int | None:
    state = _read_state(folder)
    return state.port if state else None


def _choose_port(asked: int | None, remembered: int | None) -> int:
    if asked is not None:
        if not 0 < asked < 2**16:
            raise InputError(f"{asked} is not a port: use a number from 1 to 65535")
        if _is_free(asked):
            return asked
        raise InputError(f"port {asked} is in use: choose another one for Label Studio")
    if remembered is not None and _is_free(remembered):
        return remembered
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _environment(folder: Path, login: credentials.Credentials, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the server. It inherits little, since it also reads bare names such as PORT or HOST."""
    return {name: inherited[name] for name in _INHERITED if name in inherited} | {
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder),
        "LABEL_STUDIO_USERNAME": login.username,
        "LABEL_STUDIO_PASSWORD": login.password.get_secret_value(),
        "LABEL_STUDIO_USER_TOKEN": login.token.get_secret_value(),
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
        # It calls a webhook on this machine, such as that of odds listen, only without this guard.
        "SSRF_PROTECTION_ENABLED": "false",
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
    }


def _spawn(folder: Path, command: Path, port: int, login: credentials.Credentials) -> subprocess.Popen[bytes]:
    arguments = [str(command), "start", "--no-browser", "--internal-host", HOST, "--port", str(port)]
    descriptor = os.open(folder / "server.log", os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    try:
        process = subprocess.Popen(
            arguments,
            cwd=folder,
            env=_environment(folder, login, os.environ),
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
        )
    except OSError as error:
        raise ServiceError(f"Label Studio cannot be started with {command}: {error.strerror}") from error
    finally:
        os.close(descriptor)
    state = _Server(pid=process.pid, started=identity(process.pid) or "", port=port)
    credentials.write_private(folder / "server.json", state.model_dump_json())
    return process


def _wait(ended: Callable[[], str | None], log: Path, port: int, timeout_s: float) -> None:
    began = time.monotonic()
    while not _answers(port):
        if (how := ended()) is not None:
            raise ServiceError(f"Label Studio ended {how}: see {log}")
        if time.monotonic() - began > timeout_s:
            raise ServiceError(f"Label Studio did not answer within {timeout_s:.0f} s: see {log}")
        time.sleep(0.2)


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"{_url(port)}/health", timeout=5, trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _knows(port: int, login: credentials.Credentials) -> bool:
    headers = {"Authorization": f"Token {login.token.get_secret_value()}"}
    try:
        reply = httpx.get(f"{_url(port)}/api/current-user/whoami", headers=headers, timeout=30, trust_env=False)
        return reply.status_code == httpx.codes.OK and reply.json().get("email") == login.username
    except (httpx.HTTPError, ValueError, AttributeError):
        return False


def _url(port: int) -> str:
    return f"http://{HOST}:{port}"
