"""The guard lets this server's own pages through and nobody else's, and every answer carries the policy."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from featurelib.guard import Guard, content_security_policy, host_name, inline_scripts, is_known_host, own_names


async def ask(guard: Guard, scope: dict) -> list[dict]:
    sent: list[dict] = []

    async def receive() -> dict:
        return {"type": f"{scope['type']}.connect"}

    async def send(message: dict) -> None:
        sent.append(message)

    await guard(scope, receive, send)
    return sent


async def page(scope: dict, receive: object, send: object) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    headers = [(b"content-type", b"text/html"), (b"Referrer-Policy", b"unsafe-url")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"page"})


def answer(kind: str = "http", *, allowed: tuple[str, ...] = (), **headers: str | list[str]) -> list[dict]:
    pairs = []
    for name, values in headers.items():
        pairs += [(name.encode(), value.encode()) for value in ([values] if isinstance(values, str) else values)]
    scope = {
        "type": kind,
        "headers": pairs,
        "extensions": {"websocket.http.response": {}} if kind == "websocket" else {},
    }
    return asyncio.run(ask(Guard(page, allowed_hosts=lambda: allowed), scope))


def status(sent: list[dict]) -> int:
    return 101 if sent[0]["type"] == "websocket.accept" else sent[0]["status"]


HOSTS = [
    ("localhost:8501", (), True),
    ("LOCALHOST", (), True),
    ("localhost.", (), True),
    ("127.0.0.1:8501", (), True),
    ("[::1]:8501", (), True),
    ("10.3.2.1", (), True),
    ("evil.example", (), False),
    ("localhost.evil.example", (), False),
    ("127.0.0.1.evil.example", (), False),
    ("evil.example:8501", ("*.lab",), False),
    ("features.lab", ("features.lab",), True),
    ("Features.Lab:8501", (" features.lab. ",), True),
    ("a.lab", ("*.lab",), True),
    ("lab", ("*.lab",), False),
    ("xlab", ("*.lab",), False),
    ("anything.at.all", ("*",), True),
    ("localhost@evil.example", (), False),
    ("localhost/evil", (), False),
    ("localhost:99999999", (), False),
    ("", (), False),
]


@pytest.mark.parametrize(("host", "allowed", "known"), HOSTS)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_a_host_is_known_by_its_address_its_own_name_or_the_setting(
    kind: str, host: str, allowed: tuple[str, ...], known: bool
) -> None:
    sent = answer(kind, allowed=allowed, host=host)
    assert (status(sent) != 403) is known
    if not known:
        assert b"server.allowedHosts" in sent[-1]["body"]


def test_this_machine_may_be_called_by_its_name() -> None:
    assert all(is_known_host(f"{name}:8501", (), own_names()) for name in own_names())


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    ("origin", "passes"),
    [
        ("http://localhost:8501", True),
        ("https://LOCALHOST:8501", True),
        ("http://localhost", False),
        ("http://evil.example", False),
        ("null", False),
        ("http://localhost:8501.evil.example", False),
        ("http://[", False),
        ("file://localhost:8501", False),
    ],
)
def test_only_pages_of_this_server_may_ask(kind: str, origin: str, passes: bool) -> None:
    assert (status(answer(kind, host="localhost:8501", origin=origin)) != 403) is passes


def test_a_request_without_one_host_is_refused() -> None:
    assert status(answer()) == 403
    assert status(answer(host=["localhost", "evil.example"])) == 403
    assert status(answer(host="localhost", origin=["http://localhost", "http://evil.example"])) == 403


def test_a_websocket_is_closed_where_the_server_cannot_answer_it_with_a_page() -> None:
    scope = {"type": "websocket", "headers": [(b"host", b"evil.example")], "extensions": {}}
    sent = asyncio.run(ask(Guard(page), scope))
    assert [message["type"] for message in sent] == ["websocket.close"]


def test_the_refusal_cannot_be_made_to_speak() -> None:
    said = answer(host="evil.example\x1b[31m<b>" + "x" * 500)[-1]["body"].decode()
    assert "\x1b" not in said and len(said) < 400


def test_every_answer_carries_the_headers_and_keeps_its_own() -> None:
    headers = {key.decode().lower(): value.decode() for key, value in answer(host="localhost:8501")[0]["headers"]}
    assert headers["content-type"] == "text/html"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == content_security_policy("localhost:8501")


def test_the_policy_is_strict() -> None:
    policy = dict(part.split(" ", 1) for part in content_security_policy("h:1", ["'sha256-x'"]).split("; "))
    assert policy["script-src"] == "'self' 'unsafe-eval' 'sha256-x'"
    assert policy["connect-src"] == "'self' ws://h:1 wss://h:1"
    assert [policy[name] for name in ("object-src", "base-uri", "frame-ancestors")] == ["'none'"] * 3
    assert not any("*" in value or "http" in value for value in policy.values())
    assert "unsafe-inline" not in policy["script-src"] and "unsafe-inline" not in policy["default-src"]


def test_the_inline_scripts_of_streamlit_s_own_page_are_known_by_their_hash() -> None:
    import streamlit

    shell = (Path(streamlit.__file__).parent / "static" / "index.html").read_text(encoding="utf-8")
    assert len(inline_scripts(shell)) == len(re.findall(r"<script>", shell))
    # The digest is the one that Chromium computes for this script.
    script = "<script>\n      window.prerenderReady = false\n    </script>"
    assert inline_scripts(script) == ["'sha256-THxz9J9+wf7rhwR2YkXJoSZ13UCmYyC+3lNDv2+8ugA='"]


@pytest.mark.parametrize("host", ["a b", "a\\b", "user@a", "a/b", "a?b", "a#b", "[::1", "a:b"])
def test_a_malformed_host_has_no_name(host: str) -> None:
    assert host_name(host) is None
