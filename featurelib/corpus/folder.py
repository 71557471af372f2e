"""A folder of .txt files: one text per file."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from featurelib.corpus.encodings import decode
from featurelib.corpus.jsonrows import ObjectSource
from featurelib.corpus.rowwise import Broken, counted
from featurelib.schema import Refusal

TEXT = "text"
FILE = "file"
"""The column that holds a file's path below the folder; it identifies the text."""
UNREADABLE = "unreadable file"


def txt_files(folder: Path) -> tuple[list[Path], Counter[str]]:
    """Return the .txt files below `folder` in the order of their names, and how many entries were left out, by reason.

    Links that lead out of the folder, folders that are links, hidden files and other kinds of files are left out.
    """
    root = folder.resolve()
    paths: list[Path] = []
    left_out: Counter[str] = Counter()
    for place, folders, names in os.walk(folder):
        linked = [name for name in folders if (Path(place) / name).is_symlink()]
        left_out["linked folders"] += len(linked)
        folders[:] = [name for name in folders if name not in linked and not name.startswith(".")]
        for path in (Path(place) / name for name in names):
            if path.suffix.lower() != ".txt":
                left_out["not .txt"] += 1
            elif path.name.startswith("."):
                left_out["hidden files"] += 1
            elif path.is_symlink() and not path.resolve().is_relative_to(root):
                left_out["links out of the folder"] += 1
            else:
                paths.append(path)
    return sorted(paths, key=lambda path: path.relative_to(folder).as_posix()), +left_out


def sha256_folder(folder: Path) -> str:
    """Return one sha256 over the names and contents of the .txt files, in order."""
    digest = hashlib.sha256()
    for path in txt_files(folder)[0]:
        name = os.fsencode(path.relative_to(folder).as_posix())
        content = path.read_bytes() if path.is_file() and os.access(path, os.R_OK) else b"\0unreadable"
        digest.update(b"%d %d " % (len(name), len(content)) + name + content)
    return digest.hexdigest()


class FolderSource(ObjectSource):
    """The .txt files below a folder, each one row with the columns text and file."""

    def __init__(self, folder: Path) -> None:
        """List the files; Refusal when there is none."""
        self._folder = folder
        self._files, left_out = txt_files(folder)
        super().__init__(folder.resolve().name, sum(path.stat().st_size for path in self._files))
        self.own_id = FILE
        if not self._files:
            kinds = Counter(path.suffix or "without ending" for path in folder.rglob("*") if path.is_file())
            listed = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items())) or "nothing"
            raise Refusal(
                f"folder {self.name} holds no .txt file (but {listed}); give one that does, or a single file."
            )
        if left_out:
            self.facts["left_out_files"] = dict(sorted(left_out.items()))
            self.notes.append(
                f"left out of folder {self.name}: {', '.join(f'{n} {why}' for why, n in left_out.items())}."
            )

    def consumed(self) -> int:
        """Bytes read in the current pass."""
        return self._consumed

    def raw(self) -> Iterator[dict[str, str] | Broken]:
        """Yield text and name of every file."""
        self._encodings: Counter[str] = Counter()
        self._consumed = self._n_replaced = 0
        for path in self._files:
            try:
                content = path.read_bytes()
            except OSError:
                yield Broken(UNREADABLE)
                continue
            text, encoding, replaced = decode(content)
            self._consumed += len(content)
            self._encodings[encoding] += 1
            self._n_replaced += replaced
            yield {TEXT: text, FILE: path.relative_to(self._folder).as_posix()}

    def counts(self) -> dict[str, int]:
        """Files by encoding, and files with bytes that are no character."""
        by_encoding = {f"files_in_{name}": n for name, n in sorted(self._encodings.items())}
        return counted(**by_encoding, unreadable_bytes_in_files=self._n_replaced)
