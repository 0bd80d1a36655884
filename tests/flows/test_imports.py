from __future__ import annotations

import pytest

from flows.imports import mapping_of
from warehouse.errors import InputError


def test_options_become_a_mapping() -> None:
    mapping = mapping_of(["rating=score", "status="], "-1:1")
    assert (mapping.rating, mapping.status, mapping.scale) == ("score", None, (-1.0, 1.0))
    assert mapping.premise == "premise"


@pytest.mark.parametrize(
    ("columns", "scale"),
    [(["rating"], "0:100"), (["colour=x"], "0:100"), (["rating="], "0:100"), (["scale=x"], "0:100")]
    + [([], scale) for scale in ("100", "5:5", "9:1", "a:b", "nan:1", "0:inf")],
)
def test_options_that_cannot_be_read(columns: list[str], scale: str) -> None:
    with pytest.raises(InputError) as raised:
        mapping_of(columns, scale)
    assert "\n" not in str(raised.value)
