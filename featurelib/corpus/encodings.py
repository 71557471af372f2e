"""Bytes to lines: which encoding a file is in, and its lines as text.

UTF-8 is decoded strictly. A file that is not UTF-8 is in the encoding that was asked for, or else in the one that
`detection` is certain of; where it is not, the file is refused. A UTF-8 file with a few foreign lines is read line by
line. Nothing here replaces a character without counting it.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from featurelib.corpus.detection import FEWEST, USUAL, Detection, detect_codec, is_escaped
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
ESCAPED_LINES = 1000
"""Lines with escapes by which ISO-2022 and HZ are told from UTF-8."""
WIDE = ("utf-16", "utf-32", "utf-7", "utf-8-sig", "iso2022", "hz")
"""The codecs that cannot read a line by itself: a byte of a character may be a line end, or a state goes on."""
_LINE_END = re.compile(r"(?<=\r)(?!\n)|(?<=\n)")


@dataclass(frozen=True)
class Encoding:
    """How the bytes of one file become text."""

    name: str
    """A codec of Python, or "mixed": UTF-8 with some lines in another encoding."""
    marked: bool = False
    """Whether the file begins with a byte-order mark."""
    foreign_lines: int = 0
    """Lines of a mixed file that are not UTF-8."""
    foreign: str = "cp1252"
    """The codec of those lines."""
    detection: Detection | None = None
    """How the codec was found, where the file does not say and nobody did."""

    def __str__(self) -> str:
        """Words for facts and messages."""
        if self.name == "mixed":
            return f"utf-8 with {self.foreign_lines:,} lines in {self.foreign}"
        return self.name + (" with byte-order mark" if self.marked else "")

    @property
    def grounds(self) -> str:
        """How sure the encoding is, for a message; empty where the file says it itself or it was asked for."""
        if self.detection is None:
            return ""
        examples = ", ".join(f"“{word}”" for word in self.detection.examples)
        shown = f", for example {examples}" if examples else ""
        return (
            f" (guessed from {self.detection.n_characters:,} characters{shown}; "
            "if these are wrong, name another with --encoding)"
        )


def check_encoding(name: str | None) -> str | None:
    """Return the codec that `name` means in Python, None for None; Refusal for one that Python does not know."""
    if name is None:
        return None
    try:
        codec = codecs.lookup(name)
        "".encode(codec.name)
    except (LookupError, ValueError) as error:
        raise Refusal(
            f"--encoding '{name}' is not known; write it as Python does, such as cp1251 or gb18030."
        ) from error
    return codec.name


def find_encoding(path: Path, asked: str | None = None) -> Encoding:
    """Read the whole file `path` once and return its encoding; `asked` is the codec that was asked for.

    Raises Refusal when it holds no text, when its encoding is not certain, or when it is not in the one asked for.
    """
    with path.open("rb") as opened:
        head = opened.read(8192)
    for magic, words in MAGIC.items():
        if head.startswith(magic):
            raise Refusal(
                f"{path.name} is {words}, not text; unpack it or save it as UTF-8 CSV, JSON lines or Parquet."
            )
    if asked is not None:
        return _as_asked(path, asked)
    for mark, name in BOMS:
        if head.startswith(mark):
            return _checked(path, Encoding(name, marked=True))
    if head.count(0) > NUL_SHARE * len(head):
        return _checked(path, Encoding("utf-16-le" if head[1::2].count(0) > head[0::2].count(0) else "utf-16-be"))
    if _decodes(path, "utf-8"):
        return _escaped(path) or Encoding("utf-8")
    return _foreign(path)


def _as_asked(path: Path, asked: str) -> Encoding:
    if not _decodes(path, asked):
        raise Refusal(
            f"{path.name} is not in {asked}: some of its bytes mean nothing there; name another with --encoding."
        )
    return Encoding(asked)


def _checked(path: Path, encoding: Encoding) -> Encoding:
    if encoding.name == "utf-8" and not _decodes(path, "utf-8"):
        return _foreign(path)
    if not _decodes(path, encoding.name):
        raise Refusal(
            f"{path.name} cannot be read: it looks like {encoding} but breaks off or is damaged; save it as UTF-8."
        )
    return encoding


def _decodes(path: Path, name: str) -> bool:
    decoder = codecs.getincrementaldecoder(name)("surrogatepass" if name.startswith(("utf-16", "utf-32")) else "strict")
    with path.open("rb") as opened:
        try:
            while chunk := opened.read(CHUNK):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _escaped(path: Path) -> Encoding | None:
    """ISO-2022 or HZ where an ASCII file reads as one by its lines with escapes; None where it does not."""
    with path.open("rb") as opened:
        lines = list(islice(filter(is_escaped, opened), ESCAPED_LINES))
    if not lines or not all(line.isascii() for line in lines):
        return None
    detection = detect_codec(lines)
    codec = detection.codec or ""
    reads = codec.startswith(("iso2022", "hz")) and detection.n_characters >= FEWEST and _decodes(path, codec)
    return Encoding(codec, detection=detection) if reads else None


def _foreign(path: Path) -> Encoding:
    """Tell a file in another encoding from a UTF-8 file with some foreign lines by counting lines of both kinds."""
    n_utf8 = n_foreign = 0
    with path.open("rb") as opened:
        for raw in opened:
            if not raw.isascii():
                is_utf8 = _reads(raw, "utf-8")
                n_utf8 += is_utf8
                n_foreign += not is_utf8
    mixed = n_utf8 > n_foreign
    detection = detect_codec(_lines_beyond_ascii(path, foreign=mixed))
    if mixed:
        certain = detection.codec if detection.n_characters >= FEWEST else None
        return Encoding("mixed", foreign_lines=n_foreign, foreign=certain or USUAL, detection=detection)
    if detection.codec is None or not _decodes(path, detection.codec):
        raise Refusal(_unsure(path.name, detection))
    return Encoding(detection.codec, detection=detection)


def _lines_beyond_ascii(path: Path, *, foreign: bool) -> Iterator[bytes]:
    with path.open("rb") as opened:
        for raw in opened:
            if not raw.isascii() and not (foreign and _reads(raw, "utf-8")):
                yield raw


def _unsure(name: str, detection: Detection) -> str:
    """The sentence for bytes whose encoding is not certain."""
    if not detection.candidates:
        return f"{name} is neither UTF-8 nor in any encoding known here; save it as UTF-8, or name it with --encoding."
    likeliest = ", ".join(detection.candidates)
    return (
        f"{name} is not UTF-8, and its encoding is not certain (likeliest, in this order: {likeliest}); "
        f"name it, as in --encoding {detection.candidates[0]}, or save it as UTF-8."
    )


def _reads(raw: bytes, codec: str) -> bool:
    """Whether bytes are text in this codec; UTF-8 with surrogates counts as UTF-8."""
    try:
        raw.decode(codec, "surrogatepass" if codec == "utf-8" else "strict")
    except UnicodeDecodeError:
        return False
    return True


def foreign_codec(name: str, contents: Iterable[bytes]) -> str | None:
    """The one codec of those of many files `contents` that are not UTF-8, None when all are; Refusal where unsure."""
    foreign = [raw for raw in contents if not _is_marked(raw) and not _reads(raw, "utf-8")]
    if not foreign:
        return None
    detection = detect_codec(line for raw in foreign for line in raw.splitlines() if not line.isascii())
    if detection.codec is None:
        raise Refusal(_unsure(f"{len(foreign):,} files of {name}", detection))
    return detection.codec


def _is_marked(raw: bytes) -> bool:
    return any(raw.startswith(mark) for mark, _ in BOMS)


def decode(raw: bytes, foreign: str) -> tuple[str, str, bool]:
    """Return the text of `raw`, its codec (UTF-8 or `foreign`) and whether characters were replaced by U+FFFD."""
    for mark, name in BOMS:
        if raw.startswith(mark):
            try:
                text = raw.decode(name, "surrogatepass").removeprefix("\ufeff")
                return text, name, False
            except UnicodeDecodeError:
                return raw.decode(name, "replace").removeprefix("\ufeff"), name, True
    if _reads(raw, "utf-8"):
        return raw.decode("utf-8", "surrogatepass"), "utf-8", False
    if _reads(raw, foreign):
        return raw.decode(foreign), foreign, False
    return raw.decode("utf-8", "replace"), "utf-8", True


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
        lines = self._wide() if self.encoding.name.startswith(WIDE) else self._narrow()
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
        line, _, replaced = decode(raw, self.encoding.foreign)
        self.replaced += replaced
        return line

    def _wide(self) -> Iterator[str]:
        with self.path.open("rb") as opened:
            for line in io.TextIOWrapper(opened, self.encoding.name, errors="surrogatepass", newline=""):
                self.consumed = opened.tell()
                yield line
