"""Prefect's API over plain HTTP: for what must be quick to start, or must not depend on Prefect's client."""

import base64
import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Api:
    """One Prefect API. auth: its user:password, empty where it asks for none. Every call raises OSError where it fails."""

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
        headers = {"Content-Type": "application/json"}
        if self.auth:
            headers["Authorization"] = f"Basic {base64.b64encode(self.auth.encode()).decode()}"
        data = None if body is None else json.dumps(body, default=str).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            content = answer.read()
        return json.loads(content) if content else None


def reason(error: Exception) -> str:
    """What to tell of a failed call."""
    if isinstance(error, urllib.error.HTTPError):
        return f"{error.code} {error.reason}"
    return str(getattr(error, "reason", error))
