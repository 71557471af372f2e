"""Bytes to lines: which encoding a file is in, and its lines as text.

UTF-8 is decoded strictly; a file that is not UTF-8 is read as Windows-1252 (cp1252); a UTF-8 file with a few foreign
lines is read line by line. Nothing here replaces a character without counting it.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from featurelib.schema import Refusal

BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte-order marks; those of UTF-32 stand before those of UTF-16, which they begin with."""
MAGIC = {
    b"PK\x03\x04": "a zip archive or an Excel file",
    b"\x1f\x8b": "compressed with gzip",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
    b"PAR1": "a Parquet file under another name",
    b"%PDF": "a PDF file",
}
CHUNK = 1 << 20
NUL_SHARE = 0.3
"""The share of zero bytes from which a file without a mark is taken for UTF-16 or for no text at all."""
_LINE_END = re.compile(r"(?<=\r)(?!\n)|(?<=\n)")


@dataclass(frozen=True)
class Encoding:
    """How the bytes of one file become text."""

    name: str
    """A codec of Python, or "mixed": UTF-8 with some lines in cp1252."""
    marked: bool = False
    """Whether the file begins with a byte-order mark."""
    foreign_lines: int = 0
    """Lines of a mixed file that are not UTF-8."""

    def __str__(self) -> str:
        """Words for facts and messages."""
        if self.name == "mixed":
            return f"utf-8 with {self.foreign_lines:,} lines in cp1252"
        return self.name + (" with byte-order mark" if self.marked else "")


def find_encoding(path: Path) -> Encoding:
    """Read the whole file `path` once and return its encoding; Refusal when it holds no text in a known one."""
    with path.open("rb") as opened:
        head = opened.read(8192)
    for magic, words in MAGIC.items():
        if head.startswith(magic):
            raise Refusal(
                f"{path.name} is {words}, not text; unpack it or save it as UTF-8 CSV, JSON lines or Parquet."
            )
    for mark, name in BOMS:
        if head.startswith(mark):
            return _checked(path, Encoding(name, marked=True))
    if head.count(0) > NUL_SHARE * len(head):
        return _checked(path, Encoding("utf-16-le" if head[1::2].count(0) > head[0::2].count(0) else "utf-16-be"))
    if _decodes(path, "utf-8"):
        return Encoding("utf-8")
    return _foreign(path)


def _checked(path: Path, encoding: Encoding) -> Encoding:
    if encoding.name == "utf-8" and not _decodes(path, "utf-8"):
        return _foreign(path)
    if not _decodes(path, encoding.name):
        raise Refusal(
            f"{path.name} cannot be read: it looks like {encoding} but breaks off or is damaged; save it as UTF-8."
        )
    return encoding


def _decodes(path: Path, name: str) -> bool:
    decoder = codecs.getincrementaldecoder(name)("strict" if name == "utf-8" else "surrogatepass")
    with path.open("rb") as opened:
        try:
            while chunk := opened.read(CHUNK):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _foreign(path: Path) -> Encoding:
    """Tell a cp1252 file from a UTF-8 file with some foreign lines by counting lines that only one of the two reads."""
    good = foreign = offset = 0
    unreadable: tuple[int, int] | None = None
    with path.open("rb") as opened:
        for raw in opened:
            if not raw.isascii():
                name = codec_of(raw)
                good += name == "utf-8"
                foreign += name != "utf-8"
                if name is None and unreadable is None:
                    unreadable = (offset, _first_undefined(raw))
            offset += len(raw)
    if good > foreign:
        return Encoding("mixed", foreign_lines=foreign)
    if unreadable:
        raise Refusal(
            f"{path.name} is neither UTF-8 nor Windows-1252 (byte 0x{unreadable[1]:02x} after byte {unreadable[0]:,}); "
            "save it as UTF-8."
        )
    return Encoding("cp1252")


def codec_of(raw: bytes) -> str | None:
    """Return "utf-8" or "cp1252", the first that decodes `raw`, or None; UTF-8 with surrogates counts as UTF-8."""
    for name, errors in (("utf-8", "surrogatepass"), ("cp1252", "strict")):
        try:
            raw.decode(name, errors)
        except UnicodeDecodeError:
            continue
        return name
    return None


def _first_undefined(raw: bytes) -> int:
    return next(byte for byte in raw if byte in b"\x81\x8d\x8f\x90\x9d")


def decode(raw: bytes) -> tuple[str, str, bool]:
    """Return the text of `raw`, its codec and whether characters had to be replaced by U+FFFD."""
    for mark, name in BOMS:
        if raw.startswith(mark):
            try:
                text = raw.decode(name, "surrogatepass").removeprefix("\ufeff")
                return text, name, False
            except UnicodeDecodeError:
                return raw.decode(name, "replace").removeprefix("\ufeff"), name, True
    codec = codec_of(raw)
    if codec is None:
        return raw.decode("utf-8", "replace"), "utf-8", True
    return raw.decode(codec, "surrogatepass" if codec == "utf-8" else "strict"), codec, False


class Lines:
    """The physical lines of a text file with their line ends; `consumed` bytes were read so far."""

    def __init__(self, path: Path, encoding: Encoding) -> None:
        """Nothing is read before the first line is asked for."""
        self.path = path
        self.encoding = encoding
        self.consumed = 0
        self.replaced = 0
        """Lines of a mixed file in which bytes had to be replaced by U+FFFD."""

    def __iter__(self) -> Iterator[str]:
        """Yield every line; a byte-order mark is taken off the first."""
        self.consumed = self.replaced = 0
        lines = (
            self._wide() if self.encoding.name.startswith("utf-") and self.encoding.name != "utf-8" else self._narrow()
        )
        for number, line in enumerate(lines):
            yield line.removeprefix("\ufeff") if number == 0 else line

    def _narrow(self) -> Iterator[str]:
        name = self.encoding.name
        with self.path.open("rb") as opened:
            for raw in opened:
                self.consumed += len(raw)
                line = self._decode_foreign(raw) if name == "mixed" else raw.decode(name)
                if "\r" in line[:-2]:
                    yield from (part for part in _LINE_END.split(line) if part)
                else:
                    yield line

    def _decode_foreign(self, raw: bytes) -> str:
        line, _, replaced = decode(raw)
        self.replaced += replaced
        return line

    def _wide(self) -> Iterator[str]:
        with self.path.open("rb") as opened:
            for line in io.TextIOWrapper(opened, self.encoding.name, errors="surrogatepass", newline=""):
                self.consumed = opened.tell()
                yield line
