from __future__ import annotations

from pathlib import Path

from flows.doctor import doctor
from flows.settings.settings import Settings


def test_doctor_does_not_send_a_person_to_itself(tmp_path: Path) -> None:
    (finding,) = (finding for finding in doctor(config=Settings(root=tmp_path)) if finding.what == "warehouse")
    assert (finding.fine, finding.needed) == (False, False)
    assert finding.detail.endswith("any command that writes creates it")


def test_doctor_tells_who_has_no_endpoint(tmp_path: Path) -> None:
    (tmp_path / "odds.toml").write_text(
        '[[endpoints]]\nname = "mine"\nbase_url = "http://host/v1"\n[judge]\nendpoint = "mine"'
    )
    found = {each.what: each for each in doctor(config=tmp_path / "odds.toml")}
    assert {"smol-verbalised", "smol-proposer"} <= found.keys()
    assert "smol-judge" not in found
    assert found["smol-proposer"].detail.startswith("smol-proposer asks the endpoint embedded, which")
