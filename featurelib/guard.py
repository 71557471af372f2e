"""Security headers for every answer, and a check of Host and Origin before Streamlit sees a request.

Plain ASGI, without Streamlit. A web page opened in a colleague's browser can send requests to this server: with its own
Origin (cross-site websockets) or under its own name that resolves to this machine (DNS rebinding). Both are refused.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

PERMISSIONS = (
    "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), "
    "midi=(), payment=(), usb=()"
)


def inline_scripts(page: str) -> list[str]:
    """Return the policy's names ('sha256-…') of the inline scripts of a trusted HTML page."""
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    return [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]


def content_security_policy(host: str, scripts: Sequence[str] = ()) -> str:
    """Return the policy for pages served to `host` (as in the Host header, with its port).

    'unsafe-eval' is there because Plotly's WebGL traces compile functions and draw nothing without it. No inline script
    runs but those named in `scripts`, and nothing may be fetched from, sent to or embedded by another server.
    """
    return "; ".join(
        (
            "default-src 'self'",
            " ".join(("script-src 'self' 'unsafe-eval'", *scripts)),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            f"connect-src 'self' ws://{host} wss://{host}",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-src 'none'",
            "frame-ancestors 'none'",
        )
    )


def security_headers(host: str, scripts: Sequence[str] = ()) -> dict[str, str]:
    """Return the headers of every answer."""
    return {
        "content-security-policy": content_security_policy(host, scripts),
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "permissions-policy": PERMISSIONS,
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
    }


def host_name(host: str) -> str | None:
    """Return the name or address in a Host header, lower case and without the port; None when it is malformed."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return None
    plain = not (parts.username or parts.password or parts.path or parts.query or parts.fragment)
    if not plain or not parts.hostname or any(character in host for character in "@/\\ \t"):
        return None
    return parts.hostname.rstrip(".")


def own_names() -> frozenset[str]:
    """Return the names of this machine that need no configuration: localhost and its host name."""
    name = socket.gethostname().lower().rstrip(".")
    return frozenset({"localhost", name, name.split(".")[0], f"{name.split('.')[0]}.local"})


def is_known_host(host: str, allowed: Iterable[str], own: frozenset[str]) -> bool:
    """Return whether a Host header names this server: an IP address, one of its `own` names, or one that is `allowed`.

    An IP address cannot be rebound by DNS. In `allowed`, "*" admits everything and "*.example" every name below it.
    """
    name = host_name(host)
    if name is None:
        return False
    if name in own or _is_address(name):
        return True
    for pattern in (entry.strip().lower().rstrip(".") for entry in allowed):
        if pattern in ("*", name) or (pattern.startswith("*.") and name.endswith(pattern[1:])):
            return True
    return False


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_same_origin(origin: str, host: str) -> bool:
    """Return whether an Origin header is the server that the Host header names, port included."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


class Guard:
    """ASGI middleware: 403 for a foreign Host or Origin, security headers on all else."""

    def __init__(self, app: App, *, allowed_hosts: Callable[[], Sequence[str]] = tuple, shell: str = "") -> None:
        """Wrap `app`; `allowed_hosts` is asked at each request for the names beside this machine's own.

        The inline scripts of `shell`, the HTML of the app's own page, may run.
        """
        self.app = app
        self.scripts = inline_scripts(shell)
        self.allowed_hosts = allowed_hosts
        self.own = own_names()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403, or pass the request on and add the headers to its answer."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = _Headers(scope)
        refusal = self.refusal(headers.all("host"), headers.all("origin"))
        if refusal:
            await _refuse(scope, receive, send, refusal)
            return
        await self.app(scope, receive, _adding(send, security_headers(headers.all("host")[0], self.scripts)))

    def refusal(self, hosts: list[str], origins: list[str]) -> str | None:
        """Return the sentence for a request that is refused, or None."""
        if len(hosts) != 1 or len(origins) > 1:
            return "The request has more than one Host or Origin header, or no Host."
        host = hosts[0]
        if not is_known_host(host, self.allowed_hosts(), self.own):
            return (
                f"This server is not known by the name in the address ({_printable(host)}); "
                'add it to server.allowedHosts in .streamlit/config.toml, for example ["localhost", "features.lab"].'
            )
        if origins and not is_same_origin(origins[0], host):
            return (
                f"A page of another site ({_printable(origins[0])}) asked for {_printable(host)}; a proxy in front "
                "must pass on the Host header unchanged, and its name belongs in server.allowedHosts."
            )
        return None


class _Headers:
    def __init__(self, scope: Scope) -> None:
        self.pairs = scope["headers"]

    def all(self, name: str) -> list[str]:
        return [value.decode("latin-1") for key, value in self.pairs if key.lower() == name.encode()]


def _printable(text: str) -> str:
    return "".join(character for character in text[:100] if " " <= character <= "~") or "empty"


def _adding(send: Send, headers: dict[str, str]) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            others = [(key, value) for key, value in message.get("headers", []) if key.decode().lower() not in headers]
            message["headers"] = others + [(key.encode(), value.encode("latin-1")) for key, value in headers.items()]
        await send(message)

    return send_with_headers


async def _refuse(scope: Scope, receive: Receive, send: Send, sentence: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1008, "reason": sentence[:120]})
            return
    kind = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"x-content-type-options", b"nosniff")]
    await send({"type": f"{kind}.start", "status": 403, "headers": headers})
    await send({"type": f"{kind}.body", "body": sentence.encode() + b"\n"})
