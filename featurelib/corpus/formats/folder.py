"""A folder as a corpus: which of its files are, and .txt files as one text each."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from featurelib.corpus.cells import repair
from featurelib.corpus.encodings import CHUNK, decode, foreign_codec
from featurelib.corpus.formats.jsonrows import ObjectSource
from featurelib.corpus.rowwise import Broken, counted
from featurelib.corpus.source import Source
from featurelib.schema import Refusal

TEXT = "text"
FILE = "file"
"""The column that holds a file's path below the folder; it identifies the text."""
UNREADABLE = "unreadable file"


ABOUT = ("readme", "license", "licence", "notice", "changelog", "citation")
"""Names of .txt files that tell about shards beside them, and are no texts of the corpus."""
SHARDS = (".parquet", ".jsonl", ".ndjson", ".csv", ".tsv")
"""The kinds of files of which a folder can be one corpus, besides .txt, those first that are looked for first."""


@dataclass(frozen=True)
class Listing:
    """The files of a folder that are its corpus."""

    kind: str
    """Their ending, such as .txt."""
    paths: list[Path]
    """In the order of their names."""
    left_out: Counter[str]
    """How many entries are no part of it, by reason."""


def list_folder(folder: Path) -> Listing:
    """List the files below `folder` that are its corpus: the .txt files, or where there are none the shards of a kind.

    A README.txt beside shards is none. Refusal where there are several kinds.

    Links that lead out of the folder, folders that are links, hidden files, files that are no plain file (a pipe, a
    device) and other kinds of files are left out. Raises Refusal where there is nothing to read or several kinds are.
    """
    root = folder.resolve()
    by_kind: dict[str, list[Path]] = {}
    left_out: Counter[str] = Counter()
    for place, folders, names in os.walk(folder):
        linked = [name for name in folders if (Path(place) / name).is_symlink()]
        left_out["linked folders"] += len(linked)
        folders[:] = [name for name in folders if name not in linked and not name.startswith(".")]
        for path in (Path(place) / name for name in names):
            reason = _reason_to_leave_out(path, root)
            if reason:
                left_out[reason] += 1
            else:
                by_kind.setdefault(path.suffix.lower(), []).append(path)
    kind = _kind_of_corpus(folder, by_kind)
    left_out[f"not {kind}"] += sum(len(paths) for other, paths in by_kind.items() if other != kind)
    return Listing(kind, sorted(by_kind[kind], key=lambda path: path.relative_to(folder).as_posix()), +left_out)


def _reason_to_leave_out(path: Path, root: Path) -> str:
    if path.name.startswith("."):
        return "hidden files"
    if path.is_symlink() and not path.resolve().is_relative_to(root):
        return "links out of the folder"
    return "" if path.is_file() else "no plain files"


def _kind_of_corpus(folder: Path, by_kind: dict[str, list[Path]]) -> str:
    kinds = [kind for kind in SHARDS if kind in by_kind]
    n_texts = sum(path.stem.lower() not in ABOUT for path in by_kind.get(".txt", []))
    if n_texts > sum(len(by_kind[kind]) for kind in kinds) or (".txt" in by_kind and not kinds):
        return ".txt"
    if len(kinds) == 1 and not n_texts:
        return kinds[0]
    name = repair(folder.resolve().name)
    listed = ", ".join(f"{len(paths)} {kind or 'without ending'}" for kind, paths in sorted(by_kind.items()))
    if kinds:
        raise Refusal(f"folder {name} holds several kinds of files ({listed}); leave those of one kind in it.")
    raise Refusal(
        f"folder {name} holds no .txt file (but {listed or 'nothing'}), nor {', '.join(SHARDS)}; give one that does, "
        "or a single file."
    )


def sha256_folder(folder: Path) -> str:
    """Return one sha256 over the names and contents of the files of the corpus, in order."""
    digest = hashlib.sha256()
    for path in list_folder(folder).paths:
        name = os.fsencode(path.relative_to(folder).as_posix())
        readable = os.access(path, os.R_OK)
        digest.update(b"%d %d " % (len(name), path.stat().st_size if readable else 11) + name)
        if not readable:
            digest.update(b"\0unreadable")
            continue
        with path.open("rb") as opened:
            while chunk := opened.read(CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


class FolderSource(ObjectSource):
    """The .txt files below a folder, each one row with the columns text and file."""

    def __init__(self, folder: Path, listing: Listing, encoding: str | None = None) -> None:
        """Find the encoding of the files that are not UTF-8; Refusal where it is not certain."""
        self._folder = folder
        self._files = listing.paths
        super().__init__(folder.resolve().name, sum(path.stat().st_size for path in self._files))
        self.own_id = FILE
        self._foreign = encoding or foreign_codec(self.name, self._contents()) or "utf-8"
        note_left_out_files(self, listing)

    def _contents(self) -> Iterator[bytes]:
        for path in self._files:
            with suppress(OSError):
                yield path.read_bytes()

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
            text, encoding, replaced = decode(content, self._foreign)
            self._consumed += len(content)
            self._encodings[encoding] += 1
            self._n_replaced += replaced
            yield {TEXT: text, FILE: path.relative_to(self._folder).as_posix()}

    def counts(self) -> dict[str, int]:
        """Files by encoding, and files with bytes that are no character."""
        by_encoding = {f"files_in_{name}": n for name, n in sorted(self._encodings.items())}
        return counted(**by_encoding, unreadable_bytes_in_files=self._n_replaced)


def note_left_out_files(source: Source, listing: Listing) -> None:
    """Record and say what of a folder is no part of its corpus."""
    if listing.left_out:
        source.facts["left_out_files"] = dict(sorted(listing.left_out.items()))
        listed = ", ".join(f"{n} {why}" for why, n in listing.left_out.items())
        source.notes.append(f"left out of folder {source.name}: {listed}.")
