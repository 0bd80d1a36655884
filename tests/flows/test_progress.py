from __future__ import annotations

import pytest

from flows.progress import lines


def test_lines_come_every_few_seconds_and_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    moments = iter([0.0, 1.0, 4.0, 6.0, 7.0, 8.0])
    tick = lines("elicit", clock=lambda: next(moments))
    for done in (10, 40, 60, 70, 80):
        tick(done, 80)
    assert capsys.readouterr().err.splitlines() == [
        "  elicit: 60 of 80 after 6 s, 2 s left",
        "  elicit: 80 of 80 after 8 s",
    ]
