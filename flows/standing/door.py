"""The door before every web server of ours: who may come in, whatever the server behind it would say.

Loopback is no border: other accounts of the machine reach it, and so does every page that is open in the owner's browser. So

* the Host must be one of our names, or the answer is 400: a name that an attacker points at this machine is none of them;
* a page of another origin is refused, 403: whatever it asks for, and also where the browser would send the password along;
* MLflow, which has no password of its own, is asked for with one; Prefect's API asks by itself, in its websockets too;
* nobody may frame our pages, and they load nothing from elsewhere (no telemetry, no fonts, no scripts).
"""

import base64
import hmac
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY: Final = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "frame-src 'self' blob: data:",
        "frame-ancestors 'self'",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
    )
)
"""What the pages of others, Prefect's and MLflow's, can't do without."""
HEADERS: Final = (
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


@dataclass(frozen=True)
class Refusal:
    """Why a request is not handed on."""

    status: int
    reason: str


@dataclass(frozen=True)
class Door:
    """An ASGI application before another one.

    names: hosts by which the server may be asked for, without ports. password: of the user `admin`, or None where the
    application asks by itself. free: paths that need none. closed: beginnings of paths that nobody gets. policy: what a
    browser may load for its pages.
    """

    app: App
    names: frozenset[str]
    password: str | None = None
    free: frozenset[str] = frozenset()
    closed: tuple[str, ...] = ()
    policy: str = POLICY

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on, or refuse it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        refusal = self.refusal(scope)
        if scope["type"] == "websocket":
            if refusal is None:
                await self.app(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1008, "reason": refusal.reason})
        elif refusal is None:
            await self.app(scope, receive, _with_headers(send, self.policy))
        else:
            await _refuse(refusal, _with_headers(send, self.policy))

    def refusal(self, scope: Scope) -> Refusal | None:
        """Why this request may not come in, or None."""
        hosts = _values(scope, b"host")
        if len(hosts) != 1 or _name(hosts[0]) not in self.names:
            return Refusal(400, "this server does not have that name")
        if any(_netloc(origin) != hosts[0].lower() for origin in _values(scope, b"origin")):
            return Refusal(403, "requests from pages of other origins are refused")
        if not _is_from_here(scope):
            return Refusal(403, "requests from pages of other sites are refused")
        path = str(scope["path"])
        if path.startswith(self.closed):
            return Refusal(404, "there is nothing here")
        if self.password is None or path in self.free or _knows(scope, self.password):
            return None
        return Refusal(401, "user admin, and the password")


def names(values: Iterable[str]) -> frozenset[str]:
    """Names as a Host header has them."""
    return frozenset(_name(f"[{value}]" if ":" in value else value) for value in values if value)


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1").strip() for key, value in scope["headers"] if key.lower() == name]


def _name(host: str) -> str:
    """The host without its port, in small letters."""
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.partition(":")[0].lower()


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _is_from_here(scope: Scope) -> bool:
    """Whether our own page asks, a program, or a person who follows a link; and not what is part of another site's page."""
    site = "".join(_values(scope, b"sec-fetch-site")) or "none"
    if site in ("same-origin", "none"):
        return True
    is_link = _values(scope, b"sec-fetch-mode") == ["navigate"] and _values(scope, b"sec-fetch-dest") == [
        "document"
    ]
    return is_link and scope.get("method") in ("GET", "HEAD")


def _knows(scope: Scope, password: str) -> bool:
    credentials = _values(scope, b"authorization")
    expected = base64.b64encode(f"admin:{password}".encode()).decode()
    if len(credentials) != 1:
        return False
    scheme, _, pair = credentials[0].partition(" ")
    return scheme.lower() == "basic" and hmac.compare_digest(pair.strip().encode(), expected.encode())


def _with_headers(send: Send, policy: str) -> Send:
    """Send with our headers, in place of the application's own of these names."""
    headers = (*HEADERS, (b"content-security-policy", policy.encode()))
    own = {name for name, _ in headers}

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            others = [(n, v) for n, v in message.get("headers", ()) if n.lower() not in own]
            message = {**message, "headers": [*others, *headers]}
        await send(message)

    return sent


async def _refuse(refusal: Refusal, send: Send) -> None:
    body = f"{refusal.reason}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    if refusal.status == 401:
        headers.append((b"www-authenticate", b'Basic realm="xray", charset="UTF-8"'))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
