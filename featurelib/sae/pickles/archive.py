"""The records of a file: of the zip archive that torch.save writes, or the one pickle of a file that is no archive."""

from __future__ import annotations

import contextlib
import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .limits import MAX_PICKLE, allowance
from .values import WIDTHS, Refused, Storage, shown

ZIP_MAGIC = b"PK\x03\x04"
GZIP_MAGIC = b"\x1f\x8b"
CHUNK = 1 << 20
PICKLE = "data.pkl"
READ_WAYS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}


class Records:
    """The records of an open archive, by their names in its one folder; none has been read yet."""

    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        """Refused when what the archive announces is more than a file of `size` bytes may become."""
        self.archive = archive
        entries = archive.infolist()
        self.folder = _folder([entry.filename for entry in entries])
        self.entries = {entry.filename: entry for entry in entries}
        if len(self.entries) < len(entries):
            raise Refused("is an archive with two records of one name; fetch it again.")
        announced = sum(entry.file_size for entry in entries)
        if announced > allowance(size):
            raise Refused(
                f"has {size} bytes and announces {announced}; expected at most {allowance(size)}: it is a zip bomb, or "
                "save it again with torch.save."
            )
        if self.entries[self.folder + PICKLE].file_size > MAX_PICKLE:
            raise Refused(f"holds a pickle of more than {MAX_PICKLE} bytes beside its tensors; save the tensors alone.")
        order = self.folder + "byteorder"
        if order in self.entries and self.read("byteorder") != b"little":
            raise Refused("was written on a big-endian machine; load it with torch and save it on a little-endian one.")

    def read(self, record: str) -> bytearray:
        """The bytes of a record; Refused when they are more or fewer, or other ones, than the archive announces."""
        entry = self.entries[self.folder + record]
        if entry.compress_type not in READ_WAYS or entry.flag_bits & 1:
            raise Refused(f"is an archive whose {shown(record)} is encrypted or packed; save it again with torch.save.")
        content = bytearray(entry.file_size)
        filled = 0
        with whole_archive(), self.archive.open(entry) as opened:
            while chunk := opened.read(CHUNK):
                if filled + len(chunk) > len(content):
                    break
                content[filled : filled + len(chunk)] = chunk
                filled += len(chunk)
        if filled != entry.file_size or chunk:
            raise Refused(f"is an archive whose {shown(record)} has not the announced length; fetch it again.")
        return content

    def check(self, storage: Storage) -> None:
        """Refuse a storage whose record is missing or has another length."""
        entry = self.entries.get(f"{self.folder}data/{storage.key}")
        if entry is None:
            raise Refused(f"lacks the record data/{shown(storage.key)} that a tensor looks into; fetch it again.")
        expected = storage.numel * WIDTHS[storage.dtype]
        if entry.file_size != expected:
            raise Refused(
                f"has {entry.file_size} bytes in the record data/{shown(storage.key)}; expected {expected}: fetch it "
                "again."
            )


class NoRecords:
    """What stands for the records where a file is one pickle and no archive."""

    def check(self, storage: Storage) -> None:
        """Refuse every storage."""
        raise Refused("is a bare pickle and asks for tensors that lie outside it; save it again with torch.save.")

    def read(self, record: str) -> bytearray:
        """There is none."""
        raise KeyError(record)


@contextlib.contextmanager
def opened(path: Path, size: int) -> Iterator[tuple[bytes | bytearray, Records | NoRecords]]:
    """The pickle in the file at `path`, of `size` bytes, and the records beside it; gzip around either is taken off."""
    with path.open("rb") as raw:
        stream = _without_gzip(raw, size)
        if _begins(stream) == ZIP_MAGIC:
            with whole_archive():
                archive = zipfile.ZipFile(stream)
            records = Records(archive, size)
            yield records.read(PICKLE), records
            return
        pickled = stream.read(MAX_PICKLE + 1)
        if len(pickled) > MAX_PICKLE:
            raise Refused(f"is no archive of torch.save's, and longer than a bare pickle may be ({MAX_PICKLE} bytes).")
        yield pickled, NoRecords()


@contextlib.contextmanager
def whole_archive() -> Iterator[None]:
    """Refuse what zipfile and gzip find wrong."""
    try:
        yield
    # OSError and OverflowError: a place before the start of the file, or one that no file has
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, OSError, OverflowError) as error:
        raise Refused(f"is a cut or damaged archive ({shown(error)}); fetch it again.") from error
    except NotImplementedError as error:
        raise Refused(f"is packed in a way that torch.save never uses ({shown(error)}); save it again.") from error


def _begins(stream: BinaryIO) -> bytes:
    start = stream.read(len(ZIP_MAGIC))
    stream.seek(0)
    return start


def _without_gzip(raw: BinaryIO, size: int) -> BinaryIO:
    if not _begins(raw).startswith(GZIP_MAGIC):
        return raw
    with whole_archive(), gzip.open(raw) as unpacking:
        content = unpacking.read(allowance(size) + 1)
    if len(content) > allowance(size):
        raise Refused(f"has {size} bytes and inflates to more than {allowance(size)}; unpack it first if you trust it.")
    return io.BytesIO(content)


def _folder(names: list[str]) -> str:
    """The archive's one folder, with its slash."""
    pickles = [name for name in names if name == PICKLE or name.endswith("/" + PICKLE)]
    if len(pickles) != 1:
        count = f"{len(pickles)} of them" if pickles else "none"
        raise Refused(
            f"is an archive that should hold one {PICKLE} and holds {count}; expected a file of torch.save's."
        )
    folder = pickles[0].removesuffix(PICKLE)
    if f"{folder}constants.pkl" in names:
        raise Refused("is a TorchScript program, which would have to be run; save its state_dict with torch.save.")
    return folder
