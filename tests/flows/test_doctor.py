from __future__ import annotations

from pathlib import Path

from flows.doctor import doctor
from flows.settings.settings import Settings


def test_doctor_does_not_send_a_person_to_itself(tmp_path: Path) -> None:
    (finding,) = (finding for finding in doctor(config=Settings(root=tmp_path)) if finding.what == "warehouse")
    assert (finding.fine, finding.needed) == (False, False)
    assert finding.detail.endswith("any command that writes creates it")
