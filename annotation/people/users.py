"""Annotators' accounts, created through the sign-up form: those created through the API have no password."""

from __future__ import annotations

import re
from html import unescape

import httpx

from annotation.studio.calls import is_loopback, translated
from annotation.studio.client import Studio
from warehouse.errors import InputError

_ERRORS = re.compile(r'class="field_errors">(.*?)</ul>', re.DOTALL)
_TAGS = re.compile(r"<[^>]+>")


def add_annotator(studio: Studio, email: str, password: str) -> str:
    """Return the API token of the annotator with this e-mail address, creating the account if needed.

    Raises:
        InputError: the form refuses the address or the password, or the account has another password.
        ServiceError: Label Studio fails.
    """
    invitation = studio.invite_path()
    return translated(
        studio.url, f"adding annotator {email}", lambda: _sign_up(studio.url, invitation, email, password)
    )


def _sign_up(url: str, invitation: str, email: str, password: str) -> str:
    with httpx.Client(base_url=url, timeout=60, trust_env=not is_loopback(url)) as browser:
        refusal = _submit(browser, invitation, {"email": email, "password": password, "allow_newsletters": "false"})
        if refusal is not None and "already exists" not in refusal:
            raise InputError(f"Label Studio at {url} refuses the annotator {email}: {refusal}")
        if refusal is not None and _submit(browser, "/user/login/", {"email": email, "password": password}) is not None:
            raise InputError(f"the annotator {email} exists at {url} with another password: remove the account there")
        reply = browser.get("/api/current-user/token").raise_for_status()
        return str(reply.json()["token"])


def _submit(browser: httpx.Client, path: str, fields: dict[str, str]) -> str | None:
    """Submit a form. Returns None if it was accepted, which redirects, else its complaint."""
    browser.get(path).raise_for_status()
    form = fields | {"csrfmiddlewaretoken": browser.cookies.get("csrftoken", "")}
    reply = browser.post(path, data=form, headers={"Referer": str(browser.base_url.join(path))})
    if reply.is_redirect:
        return None
    reply.raise_for_status()
    complaints = " ".join(_TAGS.sub(" ", found) for found in _ERRORS.findall(reply.text))
    return " ".join(unescape(complaints).split()) or "no reason given"
