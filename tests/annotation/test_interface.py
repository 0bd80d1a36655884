from __future__ import annotations

import pytest

from annotation.interface.page import interface_xml, validate_interface
from warehouse.errors import InputError


def test_the_page_is_one_that_judgments_can_be_read_from() -> None:
    validate_interface(interface_xml())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name="probability"', 'name="rating"', "lacks <Number"),
        ('name="comment"', 'name="remark"', "lacks <TextArea"),
        ('alias="cannot_judge"', 'alias="unclear"', "exactly the choice"),
        ('value="$premise"', 'value="$context"', r"does not show \$premise"),
        ('toName="hypothesis" slider', 'toName="question" slider', "binds <Number"),
        ('max="100"', 'max="1"', "from 0 to 100"),
        ('required="true"', 'required="true" defaultValue="50"', "no default"),
        ('required="true"', "", "must be required"),
        ("</View>", "", "is not XML"),
    ],
)
def test_a_page_that_would_lose_judgments_is_refused(old: str, new: str, message: str) -> None:
    xml = interface_xml()
    assert old in xml
    with pytest.raises(InputError, match=message):
        validate_interface(xml.replace(old, new))
