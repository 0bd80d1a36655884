"""Atomic writes: files and folders that appear complete or not at all, and the removal of what killed writers left.

Until it is complete, a file or folder lies next to its place under a name that tells which process is writing it:
`.NAME.partial-PID-...`.
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
_LONGEST = 120  # bytes of a name to keep in the name of its scratch; file systems allow 255
_FORGOTTEN_S = 7 * 86_400
"""What another machine is writing counts as left behind once it has not changed for this long."""
_CANNOT_WRITE = {
    errno.EACCES, errno.EDQUOT, errno.EEXIST, errno.EISDIR, errno.ENOSPC, errno.ENOTDIR, errno.EPERM, errno.EROFS,
}  # fmt: skip


@contextmanager
def atomic_file(path: Path, mode: int = 0o644) -> Iterator[Path]:
    """Yield a path to write to. It becomes `path` when the block ends, and is removed if the block fails.

    An existing file is replaced; readers see the old one or the new one. Leftovers of killed writers of the same file
    are removed.

    Raises:
        InputError: The file cannot be written.
    """
    with _writing(path):
        scratch = scratch_path(path)
        try:
            os.close(os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
            yield scratch
            _flush(scratch)
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Do the same for a folder, which must not exist unless `replace` is set.

    Raises:
        InputError: The folder exists, at the start or at the end of the block, or it cannot be written.
    """
    if not replace:
        _refuse(path)
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = scratch_path(path)
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


def write_atomically(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a UTF-8 text file atomically, and create its folder if needed. Raises `InputError` if it cannot."""
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path, mode) as scratch:
        scratch.write_text(text, encoding="utf-8")


def left_behind(folder: Path) -> Iterator[Path]:
    """List what dead processes left half-written in a folder and its subfolders, without its parts."""
    for place, folders, files in os.walk(folder):
        found = {name for name in (*folders, *files) if _is_left_behind(Path(place, name))}
        folders[:] = [name for name in folders if not _SCRATCH.fullmatch(name)]
        yield from (Path(place, name) for name in sorted(found))


def remove(paths: Iterable[Path]) -> int:
    """Remove files and folders, and return how many are gone."""
    gone = 0
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        gone += not path.exists()
    return gone


def scratch_path(path: Path) -> Path:
    """Return a new scratch name for a path. First removes what dead processes left under such names."""
    name = os.fsencode(path.name)[:_LONGEST].decode(errors="ignore")
    with suppress(PermissionError):  # the folder may be writable but not readable
        remove([old for old in path.parent.iterdir() if old.name.startswith(f".{name}.") and _is_left_behind(old)])
    return path.with_name(f".{name}.partial-{_writer()}")


def _writer() -> str:
    """An identifier of this process and of one of its files."""
    pid = os.getpid()
    return f"{pid}-{_started(pid) or 0}-{secrets.token_hex(3)}@{socket.gethostname()[:40]}"


def _replace(path: Path, new: Path) -> None:
    """Replace a folder without ever losing the old one. No system can rename over a folder that is not empty."""
    old = path.with_name(f".{path.name}.replaced-{_writer()}")
    path.rename(old)
    try:
        new.rename(path)
    except OSError:
        old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _is_left_behind(path: Path) -> bool:
    """Whether this is a scratch name of a process that is gone."""
    if not (found := _SCRATCH.fullmatch(path.name)):
        return False
    if found["what"] == "replaced" and not path.with_name(found["name"]).exists():
        return False  # its writer was killed before the new one took its place
    if found["host"] is not None and found["host"] != socket.gethostname()[:40]:
        return _is_forgotten(path)
    pid = int(found["pid"])
    if not _is_alive(pid):
        return True
    # Process ids are reused; the start time tells the processes apart.
    start = int(found["start"] or 0)
    return bool(start) and _started(pid) not in (None, start)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it belongs to another user
        return True
    return True


def _started(pid: int) -> int | None:
    """When a process started, in system ticks; None if the system does not tell."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def _is_forgotten(path: Path) -> bool:
    """Whether it has not changed for so long that its writer, on another machine, must be gone."""
    times = []
    for each in (path, *(path.rglob("*") if path.is_dir() else ())):
        with suppress(OSError):
            times.append(each.stat().st_mtime)
    return bool(times) and time.time() - max(times) > _FORGOTTEN_S


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn errors such as a full disk or a missing permission into an `InputError` of one line."""
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
    """Flush a file to the disk, so that it survives a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
