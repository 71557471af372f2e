"""A session of the dashboard over its websocket, as a browser tab has it, without a browser."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

from tests.support.page import text_of

ENDED = (ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_WITH_COMPILE_ERROR)


class Wire:
    """One session; what its page has drawn, and how many bytes the page took."""

    def __init__(self, address: str, seconds: float = 120.0) -> None:
        self.seconds, self.drawn, self.received = seconds, [], 0
        place = address.replace("http", "ws", 1) + "/_stcore/stream"
        self.socket: Any = connect(place, subprotocols=["streamlit"], max_size=None, close_timeout=1)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def open(self, path: str) -> str:
        """Open an address such as /text?run=demo&text=7; the words of the page, once it is drawn to its end.

        Raises TimeoutError when it is not drawn in time; the session ends as a closed tab does.
        """
        parts, asked = urlsplit(path), BackMsg()
        asked.rerun_script.query_string = parts.query
        asked.rerun_script.page_name = parts.path.strip("/")
        self.drawn, self.received = [], 0
        self.socket.send(asked.SerializeToString())
        end = time.monotonic() + self.seconds
        while True:
            received = self.socket.recv(timeout=max(0.0, end - time.monotonic()))
            self.received += len(received)
            message = ForwardMsg.FromString(received)
            if message.WhichOneof("type") == "script_finished" and message.script_finished in ENDED:
                return self.words
            if message.WhichOneof("type") == "delta" and message.delta.WhichOneof("type") == "new_element":
                self.drawn.append(message.delta.new_element)

    @property
    def words(self) -> str:
        """All that was drawn as HTML, in the order of its coming, without tags."""
        bodies = [element.html.body for element in self.drawn if element.WhichOneof("type") == "html"]
        return " ".join(" ".join(text_of(body, " ") for body in bodies if "<style>" not in body).split())
