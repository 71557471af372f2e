"""How often the encoding of a CSV file is found, refused or silently wrong: languages × the encodings written for them.

Usage: python -m benchmarks.encodings CORPUS.parquet [--texts 50,200] [--language-column lang] [--every]

Each file holds texts of one language in one legacy encoding; right means that every character came back. A pair counts
where at least 50 texts of the language can be written in the encoding. Beside ours stand chardet and charset-normalizer
alone, and pandas.read_csv as it is called by default. With --every each language is tried in every encoding that can
write nine tenths of its texts (curly quotes and dashes made plain where it has none), likely or not.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

import pyarrow.parquet as pq

from featurelib.corpus.detection import detect_codec

WESTERN = ("cp1252", "iso8859-1", "iso8859-15", "mac-roman", "cp437", "cp850", "cp858")
WRITTEN = {
    **dict.fromkeys(("deu", "eng", "fra", "ita", "nld", "por", "spa", "swe", "swh"), WESTERN),
    "pol": ("cp1250", "iso8859-2", "iso8859-16", "cp852", "mac-latin2"),
    "tur": ("cp1254", "iso8859-9", "mac-turkish", "cp857"),
    "rus": ("cp1251", "koi8-r", "iso8859-5", "cp866", "mac-cyrillic", "cp855"),
    "ukr": ("cp1251", "koi8-u", "iso8859-5", "mac-cyrillic", "cp1125"),
    "arb": ("cp1256", "iso8859-6", "cp720"),
    "heb": ("cp1255", "iso8859-8", "cp862"),
    "jpn": ("shift_jis", "cp932", "euc-jp", "iso2022-jp"),
    "kor": ("euc-kr", "cp949", "johab", "iso2022-kr"),
    "zho": ("gb2312", "gbk", "gb18030", "hz", "big5"),
}
"""The legacy encodings that systems wrote for a language, by the first three letters of its code."""
EVERY = tuple(
    dict.fromkeys(
        [
            *(codec for codecs in WRITTEN.values() for codec in codecs),
            *("cp1253", "cp1257", "cp1258", "iso8859-3", "iso8859-4", "iso8859-7", "iso8859-10", "iso8859-13"),
            *("iso8859-14", "big5hkscs", "cp775", "cp737", "cp860", "tis-620"),
        ]
    )
)
PLAIN = str.maketrans(
    {"‘": "'", "’": "'", "“": '"', "”": '"', "„": '"', "–": "-", "—": "-", "…": "...", "\u00a0": " ", "\u202f": " "}
)
LEAST = 50


def by_ours(content: bytes) -> str | None:
    """The codec that a build would take; None where it refuses."""
    lines = content.split(b"\n")
    return detect_codec([line for line in lines if not line.isascii()] or lines).codec


def by_chardet(content: bytes) -> str | None:
    """The first guess of chardet."""
    import chardet

    return chardet.detect(content)["encoding"]


def by_charset_normalizer(content: bytes) -> str | None:
    """The best guess of charset-normalizer."""
    from charset_normalizer import from_bytes

    best = from_bytes(content).best()
    return best.encoding if best else None


def by_pandas(_content: bytes) -> str | None:
    """What pandas.read_csv takes when nothing is said."""
    return "utf-8"


WAYS: dict[str, Callable[[bytes], str | None]] = {
    "ours": by_ours,
    "chardet": by_chardet,
    "charset-normalizer": by_charset_normalizer,
    "pandas by default": by_pandas,
}


def files(texts: dict[str, list[str]], n: int, every: bool) -> Iterator[tuple[str, str, str, bytes]]:
    """Yield language, encoding, content as text and as bytes of every file with characters beyond ASCII."""
    for language, known in texts.items():
        for codec in EVERY if every else WRITTEN.get(language[:3], ()):
            writable = [plain for text in known if (plain := _writable(text, codec, every)) is not None]
            if len(writable) < (0.9 * len(known) if every else LEAST):
                continue
            stream = io.StringIO()
            csv.writer(stream).writerows([["id", "text"], *enumerate(writable[:n])])
            content = stream.getvalue()
            if not content.isascii():
                yield language, codec, content, content.encode(codec)


def _writable(text: str, codec: str, every: bool) -> str | None:
    for form in (text, text.translate(PLAIN)) if every else (text,):
        try:
            form.encode(codec)
        except UnicodeEncodeError:
            continue
        return form
    return None


def outcome(content: str, raw: bytes, codec: str | None) -> str:
    """right, refused or silently wrong; a codec that cannot read the bytes refuses them."""
    try:
        read = raw.decode(codec) if codec else None
    except (UnicodeDecodeError, LookupError):
        read = None
    return "refused" if read is None else "right" if read == content else "wrong"


def main() -> int:
    """Print the counts and every pair that ours did not get right; 1 where ours was silently wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("--texts", default="50,200")
    parser.add_argument("--text-column", default="text")
    parser.add_argument("--language-column", default="lang")
    parser.add_argument("--every", action="store_true")
    options = parser.parse_args()
    rows = pq.read_table(options.corpus, columns=[options.text_column, options.language_column])
    texts: dict[str, list[str]] = defaultdict(list)
    for text, language in zip(*(column.to_pylist() for column in rows.columns), strict=True):
        texts[language].append(text)
    wrong = 0
    for n in map(int, options.texts.split(",")):
        counts: dict[str, Counter[str]] = {way: Counter() for way in WAYS}
        for language, codec, content, raw in files(texts, n, options.every):
            for way, find in WAYS.items():
                guess = find(raw)
                counts[way][outcome(content, raw, guess)] += 1
                if way == "ours" and outcome(content, raw, guess) != "right":
                    print(f"  {language} in {codec}: {guess or 'refused'}")
        for way, count in counts.items():
            total = sum(count.values())
            parts = ", ".join(f"{count[kind]} {kind}" for kind in ("right", "refused", "wrong"))
            print(f"{n} texts, {total} pairs, {way}: {parts} ({count['right'] / total:.1%} right)")
        wrong += counts["ours"]["wrong"]
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
