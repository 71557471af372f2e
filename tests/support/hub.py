"""A small server that speaks as the Hugging Face hub does, for the hub's own client."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import ROOT

COMMIT = "c" * 40
BRANCHES = ("main", "refs/pr/1", COMMIT)


class Hub(http.server.ThreadingHTTPServer):
    """Serves folders as repositories at one commit; knows no other."""

    def __init__(self, repos: dict[str, Path], *, gated: tuple[str, ...] = ()) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.repos = repos
        self.gated = gated
        self.extra_names: list[str] = []
        self.sizes: dict[str, int] = {}
        self.sent: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answers(http.server.BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        place = self.path.partition("?")[0].replace("%2F", "/")
        asked = place.removeprefix("/api/models").strip("/")
        repo = "/".join(asked.split("/")[:2])
        folder, rest = self.server.repos.get(repo), asked.removeprefix(repo).strip("/")
        if folder is None:
            return self._refuse(404, "RepoNotFound")
        if rest and not any(rest.split("/", 1)[-1].startswith(branch) for branch in BRANCHES):
            return self._refuse(404, "RevisionNotFound")
        names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
        if rest.startswith("tree/"):
            sizes = {name: (folder / name).stat().st_size for name in names}
            return self._send([{"type": "file", "path": n, "size": s, "oid": "0"} for n, s in sizes.items()])
        if place.startswith("/api/models/"):
            siblings = [{"rfilename": name} for name in names + self.server.extra_names]
            return self._send({"id": repo, "sha": COMMIT, "siblings": siblings})
        name = next(
            rest.removeprefix(f"resolve/{branch}/") for branch in BRANCHES if rest.startswith(f"resolve/{branch}/")
        )
        if name not in names:
            return self._refuse(404, "EntryNotFound")
        if repo in self.server.gated:
            return self._refuse(403, "GatedRepo")
        return self._send_file(name, (folder / name).read_bytes())

    def _send(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_file(self, name: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(self.server.sizes.get(name, len(body))))
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "GET":
            self.server.sent.append(name)
            self.wfile.write(body)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serve(repos: dict[str, Path], **options: tuple[str, ...]) -> Iterator[Hub]:
    """A hub that runs."""
    server = Hub(repos, **options)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def in_new_python(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a Python of its own: the hub's client reads its settings when it is imported."""
    dropped = ("HF_", "PYTHONHASHSEED", "WANDB_", "XDG_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env=clean | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
