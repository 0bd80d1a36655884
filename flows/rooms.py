"""Whether the five top-level packages are those of Odds. Their names are common, so others may hide them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

ROOMS = ("flows", "synthesis", "annotation", "warehouse", "training")
HERE = Path(__file__).resolve().parents[1]


def hidden_room() -> str | None:
    """Return a line about a package that hides one of Odds, or None if none does."""
    for name in ROOMS:
        found = find_spec(name)
        places = list(found.submodule_search_locations or []) if found else []
        if [Path(place).resolve() for place in places] != [HERE / name]:
            other = places[0] if places else (found and found.origin) or "nowhere"
            return (
                f"the package {name} is found at {other}, not at {HERE / name}: rename or remove that one, or install "
                "Odds in an environment of its own"
            )
    return None
