"""The errors a person meets. Everything else is a defect and keeps its traceback."""

from __future__ import annotations


class OddsError(Exception):
    """A failure said in one line: what is wrong, where, and what to do. The command line exits with 1."""

    exit_status = 1


class InputError(OddsError):
    """The person gave something that cannot be used (a file, an option, a setting). Exits with 2."""

    exit_status = 2


class ServiceError(OddsError):
    """A service that the product needs (an LLM endpoint, Label Studio, the catalog) did not do its part."""
