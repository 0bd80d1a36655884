"""Webhooks of a project in Label Studio: calls that it makes when something was annotated."""

from __future__ import annotations

from collections.abc import Mapping

import httpx
from label_studio_sdk.core.api_error import ApiError

from annotation.studio.client import Studio
from warehouse.errors import InputError, OddsError

ACTIONS = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED")
REFUSALS = (httpx.codes.BAD_REQUEST, httpx.codes.FORBIDDEN)


def register(studio: Studio, project_id: int, url: str, headers: Mapping[str, str]) -> bool:
    """Have Label Studio call a URL, without any content, whenever a judgment is made, changed or deleted.

    Returns:
        Whether anything was changed: the webhook was created, or one of the same URL was corrected.

    Raises:
        InputError: Label Studio refuses the URL.
    """
    wanted = {
        "project": project_id,
        "url": url,
        "send_payload": False,
        "send_for_all_actions": False,
        "headers": dict(headers),
        "is_active": True,
        "actions": list(ACTIONS),
    }
    same = [each for each in studio.webhooks(project_id) if each.get("url") == url]
    if same and all(_compared(same[0].get(name)) == _compared(value) for name, value in wanted.items()):
        return False
    try:
        studio.save_webhook(wanted, same[0]["id"] if same else None)
    except OddsError as error:
        # not the token, with which the webhooks were just read
        if isinstance(error.__cause__, ApiError) and error.__cause__.status_code in REFUSALS:
            raise InputError(
                f"Label Studio at {studio.url} refuses the webhook {url}: it calls no private address unless it was "
                "started with SSRF_PROTECTION_ENABLED=false (restart an embedded one with odds studio stop)"
            ) from error
        raise
    return True


def _compared(value: object) -> object:
    return sorted(value) if isinstance(value, list) else value
