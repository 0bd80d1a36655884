"""Detecting the encoding of a text file from its bytes."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from warehouse.errors import InputError

BYTES_AT_ONCE = 1 << 20
# That of UTF-16 is the beginning of that of UTF-32.
BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
SHOWN = {"utf-32": "UTF-32", "utf-16": "UTF-16", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16", "cp1252": "Windows-1252"}

# Rare within words in real Windows-1252, but common if files in other alphabets or from old Macs are read as it.
NOT_WINDOWS_1252 = re.compile(
    r"[A-Za-z\xc0-\xff][\xa1-\xb6\xb8-\xbf\xd7\xf7][A-Za-z\xc0-\xff]|[a-z][ŠŽŸ]"
    r"|[\xc0-\xd6\xd8-\xf6\xf8-\xffŠŽŸšžœƒ]{3}|[^\x00-\x7f]{4}"
)


def encoding_of(path: Path, named: str | None = None) -> str:
    """Return Python's name of a file's encoding: `named` if given, otherwise detected.

    Detected are UTF-8 and UTF-16, with or without a byte order mark, UTF-32 with one, and Windows-1252, if nothing else
    fits and the file then reads like Western European text.

    Raises:
        InputError: The name is unknown, or no encoding fits.
    """
    if named is not None:
        return _known(named)
    with path.open("rb") as file:
        start = file.read(4096)
    for bom, name in BOMS.items():
        if start.startswith(bom):
            return name
    for first, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        if start[first::2].count(0) > len(start) // 4:
            return name
    broken = _first_broken_line(path)
    if broken is None:
        return "utf-8"
    line, byte, others = broken
    if others or not _reads_as_windows_1252(path):
        raise InputError(
            f"{path}, line {line}: byte 0x{byte:02x} is not UTF-8; save the file as UTF-8, "
            "or name its encoding, such as --encoding windows-1250"
        )
    return "cp1252"


def _known(name: str) -> str:
    try:
        "".encode(name)
        return codecs.lookup(name).name
    except (LookupError, UnicodeError, ValueError) as error:
        raise InputError(f"--encoding {name} is unknown; use e.g. utf-8, utf-16 or windows-1252") from error


def _first_broken_line(path: Path) -> tuple[int, int, bool] | None:
    """The first line that is not UTF-8, its byte, and whether non-ASCII letters precede it; None if all is UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogatepass")
    line, others = 1, False
    with path.open("rb") as file:
        while True:
            data = file.read(BYTES_AT_ONCE)
            try:
                others = not decoder.decode(data, final=not data).isascii() or others
            except UnicodeDecodeError as error:
                before = error.object[: error.start]
                return line + before.count(b"\n"), error.object[error.start], others or not before.isascii()
            if not data:
                return None
            line += data.count(b"\n")


def _reads_as_windows_1252(path: Path) -> bool:
    with path.open(encoding="cp1252", newline="") as file:
        try:
            return not any(NOT_WINDOWS_1252.search(text) for text in iter(lambda: file.read(BYTES_AT_ONCE), ""))
        except UnicodeDecodeError:
            return False
