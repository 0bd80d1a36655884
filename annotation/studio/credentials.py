"""The credentials of the embedded Label Studio: random, one set an installation, in a private file and nowhere else."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from warehouse.atomic import write_whole
from warehouse.errors import InputError


class Credentials(BaseModel):
    """The first user's login and API token; neither shows in a repr or a log."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    username: str
    password: SecretStr
    token: SecretStr


def load_or_make(path: Path, username: str) -> Credentials:
    """The credentials in the file, made on the first call: random ones, for this installation only."""
    if not path.exists():
        made = {"username": username, "password": secrets.token_urlsafe(18), "token": secrets.token_hex(20)}
        write_private(path, json.dumps(made))
    return read(path)


def read(path: Path) -> Credentials:
    """The credentials in the file. Raises `InputError` where there are none; the message shows no part of them."""
    try:
        return Credentials.model_validate_json(path.read_text())
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing: the embedded Label Studio was never started here") from error
    except ValidationError:
        # From None: the message of the validator quotes what it read, and that is a secret.
        raise InputError(f"{path} is damaged: restore it, or remove {path.parent} to begin anew") from None


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    write_whole(path, text, mode=0o600)
