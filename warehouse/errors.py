"""Errors to show to a person. Any other exception is a bug and keeps its traceback."""

from __future__ import annotations

from collections.abc import Sequence


class OddsError(Exception):
    """A failure in one line: what is wrong, where, and what to do. The command line exits with 1.

    `spent` is what a run that asked models had spent before it failed, towards its limit of cost; infinite if unknown.
    """

    exit_status = 1
    spent: float = 0.0


class InputError(OddsError):
    """Bad input from a person, such as a file, an option or a setting. Exits with 2."""

    exit_status = 2


class ServiceError(OddsError):
    """A failure of a service, such as an LLM endpoint, Label Studio or the catalog."""


def together(errors: Sequence[OddsError]) -> OddsError:
    """Return one error for several: the first if all say the same, or one of its class that says what each does."""
    said = dict.fromkeys(map(str, errors))
    if len(said) == 1:
        return errors[0]
    whole = type(errors[0])("; ".join(said))
    whole.__cause__ = errors[0]
    return whole
