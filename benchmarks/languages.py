"""Labels and word search language by language: what a build makes of texts that are not English.

Usage: python -m benchmarks.languages CORPUS.parquet EMBEDDINGS.npy [--texts 200] [--language-column lang]

One run is built for each value of the column, from the first texts of it and their precomputed embeddings. Printed are
the language that was guessed; of 100 drawn words how many the word search finds in the text that they were drawn from;
the names, how many are longer than 40 characters, and how many hold a clause; and three names with their densities.
A drawn word stands between two spaces, without the signs around it; in a script without spaces it is two to four
letters that follow each other, wherever they begin. A name holds a clause where one of its keywords has a sign in it
that is no hyphen or apostrophe, more than three words, or, in a script without spaces, more than ten letters together.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import random
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import featurelib
from featurelib.labels.keywords import LONGEST_LABEL, SEPARATOR
from featurelib.search import open_words
from featurelib.storage.runs import Run
from featurelib.storage.store import open_store
from precompute.__main__ import main as precompute

WORDS = 100
UNSPACED_NAMES = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
LONGEST_PHRASE = 3
LONGEST_UNSPACED = 10


def is_unspaced(character: str) -> bool:
    """Whether a letter's Unicode name is that of a script without spaces between words."""
    return unicodedata.name(character, "").startswith(UNSPACED_NAMES)


def drawn_words(texts: list[str], draw: random.Random) -> Iterator[tuple[int, str]]:
    """Words and the numbers of the texts that they are drawn from."""
    while True:
        row = draw.randrange(len(texts))
        word = draw.choice(texts[row].split()).strip("".join(chr(c) for c in range(0x3000) if is_sign(chr(c))))
        if word and all(map(is_unspaced, word)):
            start = draw.randrange(len(word))
            word = word[start : start + draw.randint(2, 4)]
        if len(word) > 1 and not any(map(is_sign, word)):
            yield row, word


def is_sign(character: str) -> bool:
    """Whether a character is neither letter, digit, mark nor joiner."""
    return unicodedata.category(character)[0] not in "LNM" and character not in "\u200c\u200d"


def is_clause(name: str) -> bool:
    """Whether a keyword of a name is a clause; see above."""
    return any(
        len(keyword.split()) > LONGEST_PHRASE
        or any(is_sign(character) for character in keyword if character not in " -'’")
        or any(sum(map(is_unspaced, word)) > LONGEST_UNSPACED for word in keyword.split())
        for keyword in name.split(SEPARATOR)
    )


def build(folder: Path, name: str, texts: pa.Table, embeddings: np.ndarray) -> Run:
    """Build the run of one language, in silence."""
    source, vectors = folder / f"{name}.parquet", folder / f"{name}.npy"
    pq.write_table(texts, source)
    np.save(vectors, embeddings)
    words = ["build", str(source), "--name", name, "--data", str(folder / "runs"), "--embeddings", str(vectors)]
    log = io.StringIO()
    with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        code = precompute([*words, "--text-column", "text"])
    if code:
        raise SystemExit(log.getvalue()[-800:])
    return Run(folder / "runs" / name)


def measure(run: Run, draw: random.Random) -> dict[str, Any]:
    """What the run says of its language, and how its words are found."""
    opened = featurelib.open(run.path)
    texts = list(opened.ask("select text from texts order by text_id")["text"])
    index = open_words(open_store(run.current()), run.cache_folder)
    drawn = drawn_words(texts, draw)
    lost = [
        word
        for row, word in (next(drawn) for _ in range(WORDS))
        if row not in index.texts(f'"{word}"', limit=len(texts))["text_id"].to_pylist()
    ]
    names = opened.ask(
        "select label, density from labels join features using (feature_id) where source <> 'none' and not dead "
        "order by n_active desc, feature_id"
    ).to_dict("records")
    labels = [row["label"] for row in names]
    return {
        "languages": run.current().describe()["keywords"]["languages"],
        "lost": lost,
        "n": len(labels),
        "long": [label for label in labels if len(label) > LONGEST_LABEL],
        "clauses": [label for label in labels if is_clause(label)],
        "shown": [names[place] for place in sorted(draw.sample(range(len(names)), 3))],
    }


def main() -> None:
    """Print a line for each language."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--language-column", default="lang")
    flags = parser.parse_args()
    corpus, embeddings = pq.read_table(flags.corpus), np.load(flags.embeddings, mmap_mode="r")
    of_row = np.array(corpus[flags.language_column].to_pylist())
    with tempfile.TemporaryDirectory() as folder:
        for language in sorted(set(of_row)):
            rows = np.flatnonzero(of_row == language)[: flags.texts]
            run = build(Path(folder), language, corpus.take(pa.array(rows)), np.array(embeddings[rows], np.float32))
            facts = measure(run, random.Random(0))
            guessed = " ".join(f"{code} {share:.0%}" for code, share in facts["languages"].items())
            shown = "; ".join(f"{row['label']} ({row['density']:.1%})" for row in facts["shown"])
            print(
                f"{language}: guessed {guessed}; {WORDS - len(facts['lost'])} of {WORDS} drawn words found "
                f"{facts['lost'] or ''}; {facts['n']} names, {len(facts['long'])} over {LONGEST_LABEL} characters, "
                f"{len(facts['clauses'])} with a clause {facts['clauses'][:2] or ''}; {shown}",
                flush=True,
            )


if __name__ == "__main__":
    main()
