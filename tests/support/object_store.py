"""A store that speaks S3, on this machine: moto's server, which can be told to refuse."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pyarrow.fs as pafs
import pytest

DENIED = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>AccessDenied</Code><Message>Access Denied</Message><RequestId>1</RequestId></Error>"""

UPLOAD = re.compile(r"POST .*/part-\d+\.parquet\?uploads=?|PUT .*/part-\d+\.parquet")
"""How an upload of a part begins: in several requests, or in one."""


@dataclass
class ObjectStore:
    """The store, and what it has been asked."""

    address: str = ""
    """HOST:PORT."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Method and path of each request."""
    n_bytes: list[int] = field(default_factory=list)
    """The bytes of each answer that was part of an object."""
    parts_until_refusal: int | None = None
    """How many more parts it takes before it denies everything; None: it takes all."""

    def make_bucket(self, name: str) -> None:
        self.system(allow_bucket_creation=True).create_dir(name)

    def system(self, **options: Any) -> pafs.S3FileSystem:
        return pafs.S3FileSystem(endpoint_override=self.address, scheme="http", region="us-east-1", **options)

    def content(self, path: str) -> bytes:
        with self.system().open_input_stream(path) as opened:
            return opened.read()

    def put(self, path: str, content: bytes) -> None:
        with self.system().open_output_stream(path) as opened:
            opened.write(content)

    def objects(self, path: str) -> list[str]:
        """The objects under a path, without those that stand for folders."""
        selector = pafs.FileSelector(path, recursive=True, allow_not_found=True)
        return sorted(entry.path for entry in self.system().get_file_info(selector) if entry.is_file)

    def uploaded(self) -> list[str]:
        """The paths of all uploads of parts that began, in their order."""
        return [path for method, path in self.asked if UPLOAD.fullmatch(f"{method} {path}")]

    def refuses(self, method: str, path: str) -> bool:
        if self.parts_until_refusal is None:
            return False
        if UPLOAD.fullmatch(f"{method} {path}"):
            self.parts_until_refusal -= 1
        return self.parts_until_refusal < 0


@contextmanager
def object_store() -> Iterator[ObjectStore]:
    """Run a store until the block ends; the environment has its address and credentials."""
    pytest.importorskip("moto", reason="moto is not installed (pip install -r tests/requirements.txt)")
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log(self, *args: object) -> None:
            pass

    store = ObjectStore()
    inner = DomainDispatcherApplication(create_backend_app)

    def answer(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        query = environ.get("QUERY_STRING", "")
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"] + (f"?{query}" if query else "")
        store.asked.append((method, path))
        if store.refuses(method, path):
            start("403 Forbidden", [("Content-Type", "application/xml"), ("Content-Length", str(len(DENIED)))])
            return [DENIED]
        pieces = list(inner(environ, start))
        if environ.get("HTTP_RANGE"):
            store.n_bytes.append(sum(map(len, pieces)))
        return pieces

    server = make_server("127.0.0.1", 0, answer, threaded=True, request_handler=Quiet)
    store.address = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", f"http://{store.address}")
        environment.setenv("AWS_REGION", "us-east-1")
        environment.setenv("AWS_ACCESS_KEY_ID", "key")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        yield store
    server.shutdown()
    thread.join()
