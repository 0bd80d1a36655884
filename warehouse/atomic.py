"""Files and folders that appear whole or not at all, and the removal of what killed processes left of them.

What is not whole yet lies beside its place under a name that says which process is writing it: `.NAME.partial-PID-...`.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from warehouse.errors import InputError

_SCRATCH = re.compile(
    r"\.(?P<name>.*)\.(?P<what>partial|replaced)-(?P<pid>\d+)(-(?P<start>\d+)-[0-9a-f]+@(?P<host>.*))?", re.DOTALL
)
_LONGEST = 120  # bytes of a name that stand in the name of its scratch: a name has 255 at most
_FORGOTTEN_S = 7 * 86_400
"""For how long nothing changes in what another machine is writing before it counts as left behind."""
_CANNOT_WRITE = {errno.EACCES, errno.EDQUOT, errno.ENOSPC, errno.EPERM, errno.EROFS}


@contextmanager
def whole_file(path: Path, mode: int = 0o644) -> Iterator[Path]:
    """A place to write a file to, which becomes `path` when the block ends and vanishes when it fails.

    A file that is there is replaced: readers see the old one or the new one. What killed processes left of the same
    file is removed.

    Raises:
        InputError: it cannot be written there.
    """
    with _writing(path):
        scratch = _scratch(path)
        try:
            os.close(os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
            yield scratch
            _flush(scratch)
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """The same for a folder; one that is there is only replaced if told so.

    Raises:
        InputError: `path` exists, now or once the block ends, or it cannot be written.
    """
    if not replace:
        _refuse(path)
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = _scratch(path)
        try:
            scratch.mkdir()
            yield scratch
            if replace and path.exists():
                _replace(path, scratch)
            else:
                _refuse(path)
                scratch.rename(path)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def write_whole(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a text file (UTF-8) that is whole or not there; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path, mode) as scratch:
        scratch.write_text(text, encoding="utf-8")


def left_behind(folder: Path) -> Iterator[Path]:
    """What processes that are gone left half-written in a folder and below it; the parts of it are not listed."""
    for place, folders, files in os.walk(folder):
        found = {name for name in (*folders, *files) if _is_left_behind(Path(place, name))}
        folders[:] = [name for name in folders if not _SCRATCH.fullmatch(name)]
        yield from (Path(place, name) for name in sorted(found))


def remove(paths: Iterable[Path]) -> int:
    """Remove files and folders; how many are gone."""
    gone = 0
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        gone += not path.exists()
    return gone


def _scratch(path: Path) -> Path:
    """A new name beside a path, once what dead processes left under such names is removed."""
    name = os.fsencode(path.name)[:_LONGEST].decode(errors="ignore")
    with suppress(PermissionError):  # a folder that can be written to, and not listed
        remove([old for old in path.parent.iterdir() if old.name.startswith(f".{name}.") and _is_left_behind(old)])
    return path.with_name(f".{name}.partial-{_writer()}")


def _writer() -> str:
    """What tells this process, and each of its files, from all others."""
    pid = os.getpid()
    return f"{pid}-{_started(pid) or 0}-{secrets.token_hex(3)}@{socket.gethostname()[:40]}"


def _replace(path: Path, new: Path) -> None:
    """Put a new folder into the place of an old one, which is never lost: no system renames over a full folder."""
    old = path.with_name(f".{path.name}.replaced-{_writer()}")
    path.rename(old)
    try:
        new.rename(path)
    except OSError:
        old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _is_left_behind(path: Path) -> bool:
    """Whether this is a scratch name, and the process that it names is gone."""
    if not (found := _SCRATCH.fullmatch(path.name)):
        return False
    if found["what"] == "replaced" and not path.with_name(found["name"]).exists():
        return False  # its writer was killed before the new one stood in its place
    if found["host"] is not None and found["host"] != socket.gethostname()[:40]:
        return _is_forgotten(path)
    pid = int(found["pid"])
    if not _is_alive(pid):
        return True
    # The number of a dead process goes to another one sooner or later; that one started at another time.
    start = int(found["start"] or 0)
    return bool(start) and _started(pid) not in (None, start)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it is somebody else's
        return True
    return True


def _started(pid: int) -> int | None:
    """When a process started, in the ticks of the system; None where the system does not say."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def _is_forgotten(path: Path) -> bool:
    """Whether nothing in it has changed for so long that its writer, on another machine, must be gone."""
    times = []
    for each in (path, *(path.rglob("*") if path.is_dir() else ())):
        with suppress(OSError):
            times.append(each.stat().st_mtime)
    return bool(times) and time.time() - max(times) > _FORGOTTEN_S


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """One line for a disk that is full, or a place that must not be written to."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):  # another process was faster
            _refuse(path)
        if error.errno not in _CANNOT_WRITE:
            raise
        raise InputError(f"{path} cannot be written: {error.strerror}") from error


def _refuse(path: Path) -> None:
    if path.exists():
        raise InputError(f"{path} already exists; choose another place or remove it")


def _flush(path: Path) -> None:
    """Have the system write it to the disk, so that it is whole also after a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
