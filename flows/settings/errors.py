"""Errors in settings on one line: the file or the variable, the setting, and what to do."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from warehouse.catalog.address import SECRETS, USER, parameters_of
from warehouse.errors import InputError

PREFIX = "ODDS_"
LIKE = 0.8
"""From this share of common characters on, a name is taken for a misspelt one."""
SECTIONS = ("warehouse", "splits", "proposer", "judge", "annotation", "agreement", "publish", "training")


def refuse_passwords(path: Path, table: dict[str, Any]) -> None:
    """Raise `InputError` if the file holds a PostgreSQL password; it belongs in the environment or a passfile."""
    section = table.get("warehouse")
    catalog = section.get("catalog") if isinstance(section, dict) else None
    for name, value in (("ledger", table.get("ledger")), ("warehouse.catalog", catalog)):
        if isinstance(value, str) and _holds_password(value):
            raise InputError(
                f"{path}: {name} holds a password, or cannot be read; remove the password from the file; put it into "
                "the variable PGPASSWORD or into ~/.pgpass"
            )


def _holds_password(address: str) -> bool:
    """Return whether an address holds a password, or cannot be read."""
    try:
        parameters = parameters_of(address)
    except ValueError:
        return True
    return bool(USER.match(address.strip())) if parameters is None else not set(SECRETS).isdisjoint(parameters)


def refuse_unknown_variables(known: Collection[str]) -> None:
    """Raise `InputError` for a variable of the environment that should be a setting, but is not among `known`.

    These are `ODDS_SECTION__NAME`, and `ODDS_NAME` if the name is like that of a setting. Other variables may be those
    that settings name, such as `token_env`.
    """
    for variable in os.environ:
        name, nested, _ = variable.upper().removeprefix(PREFIX).partition("__")
        if not variable.upper().startswith(PREFIX) or name.lower() in known:
            continue
        if near := get_close_matches(name.lower(), known, n=1, cutoff=LIKE):
            raise InputError(f"{variable} is not a setting; is {PREFIX}{near[0].upper()}{nested and '__...'} meant?")
        if nested:
            raise InputError(f"{variable} is not a setting; remove it or correct its name")


def first_problem(path: Path, error: ValidationError) -> str:
    """Return the first problem on one line: the variable or the file, the setting, and what is wrong."""
    problem = error.errors(include_url=False, include_input=True)[0]
    place = [str(part) for part in problem["loc"]]
    if place[:1] == ["labelers"] and len(place) > 2:
        del place[2]  # the kind of labeler, which is no setting
    variable, inside = _variable(place)
    where = ": ".join(part for part in (variable or str(path), ".".join(inside)) if part)
    more = f"; {error.error_count() - 1} more problem(s)" if error.error_count() > 1 else ""
    if problem["type"] == "extra_forbidden":
        return f"{where} is not a setting; remove it or correct its name{more}"
    message = problem["msg"].removeprefix("Value error, ")
    # Our own messages describe the value, which may be an address with a password.
    given = problem["input"]
    shown = problem["type"] != "value_error" and isinstance(given, str | int | float)
    return f"{where}: {message}" + (f" (given: {given!r})" if shown else "") + more


def _variable(place: list[str]) -> tuple[str | None, list[str]]:
    """Return the environment variable that sets a place of the settings, and the place inside its value.

    The variable is None if the file sets it. `ODDS_SECTION__NAME` overrides `ODDS_SECTION`, which holds JSON.
    """
    there = {name.upper(): name for name in os.environ}
    for length in range(len(place), 0, -1):
        name = (PREFIX + "__".join(place[:length])).upper()
        if name in there:
            return there[name], place[length:]
    return None, place


def no_json(error: str) -> str:
    """Return an error for a variable whose value must be JSON, from an error that names the setting."""
    name = next(iter(re.findall(r'"(\w+)"', error)), "")
    hint = f"; to set one value, name it as in {PREFIX}{name.upper()}__NAME" if name in SECTIONS else ""
    return f"{PREFIX}{name.upper()}: its value must be JSON{hint}"
