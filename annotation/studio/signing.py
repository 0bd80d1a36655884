"""Access tokens that the server refuses, though they are valid by our clock."""

from __future__ import annotations

from collections.abc import Generator

import httpx


class Renewing(httpx.Auth):
    """Exchanges the personal access token for another access token when the server refuses the present one.

    The SDK does that only once an access token has expired by our clock, which may be hours behind the server's.
    """

    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = f"{url.rstrip('/')}/api/token/refresh/", token
        self._access: str | None = None

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send a request, and once more with a new access token if it was refused.

        httpx gives the caller the last answer. That is the one to the exchange only if the server stumbles over it, so
        that the caller tries again.
        """
        if not request.headers.get("Authorization", "").startswith("Bearer "):
            yield request
            return
        if self._access is not None:
            request.headers["Authorization"] = f"Bearer {self._access}"
        refused = yield request
        if refused.status_code != httpx.codes.UNAUTHORIZED:
            return
        renewed = yield httpx.Request("POST", self._url, json={"refresh": self._token})
        renewed.read()
        if renewed.is_server_error or renewed.status_code == httpx.codes.TOO_MANY_REQUESTS:
            return
        if (access := _access_in(renewed)) is not None:
            self._access = access
            request.headers["Authorization"] = f"Bearer {access}"
        yield request


def _access_in(answer: httpx.Response) -> str | None:
    """Return the access token of an answer; None if the server gave none."""
    try:
        access = answer.json()["access"]
    except (ValueError, KeyError, TypeError):
        return None
    return access if answer.is_success and isinstance(access, str) else None
