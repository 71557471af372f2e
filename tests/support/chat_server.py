"""A server on this machine that speaks OpenAI's chat completions, and answers as a test tells it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Reply(NamedTuple):
    """What the server sends back."""

    status: int = 200
    content: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    kind: str = "application/json"


def completion(said: str | None) -> Reply:
    """A chat completion that says `said`."""
    choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107}
    whole = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    return Reply(content=json.dumps(whole))


def refusal(status: int, message: str, **headers: str) -> Reply:
    """An error as OpenAI words it."""
    return Reply(status, json.dumps({"error": {"message": message, "code": status}}), tuple(headers.items()))


@dataclass
class ChatServer:
    """A running server."""

    url: str
    bodies: list[dict[str, Any]] = field(default_factory=list)
    """What was asked, in order."""
    keys: list[str] = field(default_factory=list)
    """The Authorization header of each."""

    def of(self, begins: str) -> list[dict[str, Any]]:
        """The questions whose material has the key `begins`, as the JSON object that it is."""
        questions = [json.loads(body["messages"][-1]["content"]) for body in self.bodies]
        return [question for question in questions if begins in question]


@contextmanager
def chat_server(answer: Callable[[dict[str, Any]], Reply]) -> Iterator[ChatServer]:
    """Serve on a free port; `answer` is given each question's body."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                served.bodies.append(body)
                served.keys.append(self.headers.get("Authorization", ""))
            reply = answer(body) if self.path == "/v1/chat/completions" else refusal(404, "no such path")
            sent = reply.content.encode()
            try:
                self.send_response(reply.status)
                for name, value in (("Content-Type", reply.kind), ("Content-Length", str(len(sent))), *reply.headers):
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(sent)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    lock = threading.Lock()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = ChatServer(f"http://127.0.0.1:{server.server_port}/v1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
