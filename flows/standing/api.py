"""Prefect's API over plain HTTP: for what must be quick to start, or must not depend on Prefect's client."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx


class ApiError(OSError):
    """A server did not answer, or refused; in one sentence."""


@dataclass(frozen=True)
class Api:
    """One Prefect API. auth: its user:password, empty where it asks for none. A call that fails raises `ApiError`."""

    url: str
    auth: str = ""

    @classmethod
    def of_environment(cls) -> "Api | None":
        """The API that PREFECT_API_URL names, or None."""
        url = os.environ.get("PREFECT_API_URL")
        return cls(url.rstrip("/"), os.environ.get("PREFECT_API_AUTH_STRING", "")) if url else None

    def get(self, path: str, timeout: float = 10) -> Any:
        """The answer to GET `path`."""
        return self._call("GET", path, None, timeout)

    def post(self, path: str, body: Mapping[str, Any] | list[Any], timeout: float = 10) -> Any:
        """The answer to POST `path`."""
        return self._call("POST", path, body, timeout)

    def _call(self, method: str, path: str, body: object, timeout: float) -> Any:
        content = None if body is None else json.dumps(body, default=str)
        user, _, password = self.auth.partition(":")
        answer = ask(
            method,
            f"{self.url}{path}",
            content=content,
            headers={"Content-Type": "application/json"},
            auth=(user, password) if self.auth else None,
            timeout=timeout,
        )
        return answer.json() if answer.content else None


def ask(method: str, url: str, **options: Any) -> "httpx.Response":
    """The answer of a server, of a status below 400. options: of `httpx.request`. Raises `ApiError`."""
    import httpx  # a tenth of a second, which most commands need not spend

    try:
        # the certificates of this machine are loaded only for those who need them
        answer = httpx.request(method, url, verify=url.startswith("https:"), **options)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        cause = error.__cause__ or error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise ApiError(str(cause) or type(error).__name__) from error
    if answer.is_error:
        raise ApiError(f"{answer.status_code} {answer.reason_phrase}")
    return answer
