"""The corpus: texts from csv, tsv, json, jsonl, parquet, a folder of such files or of .txt, or a Hugging Face dataset.

`open_source` gives a Source, `choose_roles` says which column is what, `select` decides about every row, and `Texts`
yields the kept ones. A source is read in batches, twice; nothing is dropped or repaired without being counted.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from itertools import islice
from pathlib import Path

from featurelib.corpus.cells import repair
from featurelib.corpus.encodings import Lines, check_encoding, find_encoding
from featurelib.corpus.formats.delimited import DelimitedSource
from featurelib.corpus.formats.folder import FolderSource, list_folder, note_left_out_files, sha256_folder
from featurelib.corpus.formats.jsonrows import JsonLinesSource, JsonSource
from featurelib.corpus.formats.parquet import ParquetSource
from featurelib.corpus.formats.shards import ParquetShards, RowShards
from featurelib.corpus.reading import Earlier, Selection, Texts, select
from featurelib.corpus.roles import choose_roles
from featurelib.corpus.rowwise import RowSource
from featurelib.corpus.source import Roles, Source
from featurelib.schema import Refusal
from featurelib.storage.hub_id import check_hub_id

KINDS = (".csv", ".tsv", ".tab", ".json", ".jsonl", ".ndjson", ".parquet", ".pq")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+(:[\w.-]*){0,2}")


def open_source(source: str, encoding: str | None = None) -> Source:
    """Open a file, a folder of files or a dataset on the hub; an existing path wins over a hub id.

    `encoding` is that of text files which are not UTF-8; without one it is detected, and a file refused where that is
    not certain. Raises Refusal when there is no such thing, or when it cannot be read at all.
    """
    codec = check_encoding(encoding)
    path = _existing(source)
    if path is None:
        from featurelib.corpus.formats.hub_dataset import HubSource

        _refuse_encoding(codec, "a dataset on the hub")
        check_hub_id(source.partition(":")[0])
        return HubSource(source)
    return _open_folder(path, codec) if path.is_dir() else _open_file(path, codec)


def _open_folder(folder: Path, codec: str | None) -> Source:
    listing = list_folder(folder)
    if listing.kind == ".txt":
        return FolderSource(folder, listing, codec)
    name = repair(folder.resolve().name)
    opened = [_open_file(path, codec) for path in listing.paths if path.stat().st_size]
    if not opened:
        raise Refusal(f"every file of folder {name} is empty; one with at least one text is expected.")
    source: Source = (
        ParquetShards(name, [shard for shard in opened if isinstance(shard, ParquetSource)])
        if listing.kind == ".parquet"
        else RowShards(name, [shard for shard in opened if isinstance(shard, RowSource)])
    )
    note_left_out_files(source, listing)
    return source


def _open_file(path: Path, codec: str | None) -> Source:
    kind = _kind(path)
    if kind in (".parquet", ".pq"):
        _refuse_encoding(codec, "a Parquet file")
        return ParquetSource(path)
    if kind in (".csv", ".tsv", ".tab"):
        return DelimitedSource(path, ",;\t|" if kind == ".csv" else "\t", codec)
    if kind == ".json" and not _has_json_lines(path, codec):
        return JsonSource(path, codec)
    opened = JsonLinesSource(path, codec)
    if kind == ".json":
        opened.notes.append(f"{path.name} holds one JSON object a line and is read as .jsonl.")
    return opened


def identify(source: str) -> dict[str, str]:
    """Return what a source is made of: its name and the sha256 of its bytes, or a hub dataset's revision.

    Raises Refusal for a source that does not exist or is of no known kind, before anything else is done.
    """
    path = _existing(source)
    if path is None:
        from featurelib.corpus.formats.hub_dataset import revision

        check_hub_id(source.partition(":")[0])
        return {"source": source, "revision": revision(source)}
    if path.is_dir():
        return {"source": repair(path.resolve().name), "sha256": sha256_folder(path)}
    _kind(path)
    with path.open("rb") as opened:
        return {"source": repair(path.name), "sha256": hashlib.file_digest(opened, "sha256").hexdigest()}


def _existing(source: str) -> Path | None:
    """The path that `source` names, None for what can only be a hub id; Refusal when it is neither."""
    if not source.strip():
        raise Refusal("no source is given; a file, a folder of .txt files or a Hugging Face dataset id is expected.")
    path = Path(source).expanduser()
    if path.exists():
        return path
    if path.suffix.lower() not in KINDS and _HUB_ID.fullmatch(source):
        return None
    beside = sorted(entry.name for entry in path.parent.iterdir()) if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, beside, n=1)
    mend = f"did you mean '{near[0]}'?" if near else "check the path, or give a Hugging Face dataset as OWNER/NAME."
    where = "" if beside else " (its folder does not exist or is empty)"
    raise Refusal(f"there is no file or folder '{source}'{where}; {mend}")


def _kind(path: Path) -> str:
    kind = path.suffix.lower()
    if not path.is_file() or kind not in KINDS:
        raise Refusal(
            f"{path.name} is of no known kind; known are {', '.join(KINDS)}, a folder of .txt files and "
            "Hugging Face dataset ids: save it as one of these."
        )
    if not os.access(path, os.R_OK):
        raise Refusal(f"{path.name} may not be read by this user; change its permissions.")
    if path.stat().st_size == 0:
        raise Refusal(f"{path.name} is empty; a file with at least one text is expected.")
    return kind


def _refuse_encoding(codec: str | None, what: str) -> None:
    if codec is not None:
        raise Refusal(f"--encoding {codec} is given, but {what} is UTF-8 by its format; leave the flag out.")


def _has_json_lines(path: Path, codec: str | None) -> bool:
    """Whether a .json file holds one object a line, more than one."""
    first = list(islice((line for line in Lines(path, find_encoding(path, codec)) if line.strip()), 2))
    return len(first) == 2 and all(re.fullmatch(r"\s*\{.*\}\s*", line, re.DOTALL) for line in first)
