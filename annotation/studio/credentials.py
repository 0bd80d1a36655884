"""The credentials of the embedded Label Studio: random for each installation, kept only in a private file."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from warehouse.atomic import write_atomically
from warehouse.errors import InputError


class Credentials(BaseModel):
    """The first user's login and API token, hidden in reprs and logs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    username: str
    password: SecretStr
    token: SecretStr


def load_or_make(path: Path, username: str) -> Credentials:
    """Return the credentials in a file, which is written with random ones on the first call."""
    if not path.exists():
        made = {"username": username, "password": secrets.token_urlsafe(18), "token": secrets.token_hex(20)}
        write_private(path, json.dumps(made))
    return read(path)


def read(path: Path) -> Credentials:
    """Return the credentials in a file. Raises `InputError` if there are none; the message shows no part of them."""
    try:
        return Credentials.model_validate_json(path.read_text())
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing: the embedded Label Studio was never started here") from error
    except ValidationError:
        # from None: the validator's message quotes what it read, which is secret
        raise InputError(f"{path} is corrupt: restore it, or remove {path.parent} to start over") from None


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, atomically."""
    write_atomically(path, text, mode=0o600)
