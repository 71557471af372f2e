"""Do our names predict firing better than the baseline's? Both on the same texts, which neither was made from.

    python -m benchmarks.fidelity [RUN] [--exact] [--seed 0]

RUN is the folder of a run (default data/demo). Printed, for each predictor ("resembles": cosine of the text to the mean
of the name's keyword embeddings; "contains": how many keywords the text holds, a plural counting as its singular, or,
with --exact, as in runs made before that, not) and measure: mean and median over the
features of which both names could be measured, ours and the baseline's, and their paired difference, each with its 95 %
bootstrap interval over features; then how many names are distinct.

Everything is measured anew from the run's Parquet files with scikit-learn, sharing no code with
featurelib.labels.fidelity or precompute (the embedder apart), and
compared with the run's own table; exit code 1 where they differ by 1e-3 or more
(keywords embedded in other batches have other last bits, and two texts that are all but equally near change places), or
where ours is not above the baseline's in mean and median of both measures by resemblance.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from sklearn.metrics import average_precision_score, roc_auc_score

from featurelib.embedder import load_embedder
from featurelib.storage.runs import open_run

DRAWS = 2000
NEAR = 1e-3
LEAST = 5
MEASURES = ("auroc", "ap")
WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")


def singular(word: str) -> str:
    """The word without the ending of an English plural."""
    if word in {"news", "lens", "bias", "always", "perhaps", "gps", "aids", "mars", "texas", "thus"}:
        return word
    if re.search("ies$", word) and len(word) > 4:
        return word[:-3] + "y"
    return word[:-1] if re.search("[^sui]s$", word) and len(word) > 3 else word


BRACKETS = re.compile(r"\([^()]*\)")
FORM = re.compile(r"words with \"(.+)\"|the letter \"(.)\"|the character \"(.)\"")


class Speller(NamedTuple):
    """Which words count as the same."""

    exact: bool

    def words(self, part: str) -> list[str]:
        """The words of a part of a name, those in brackets left out; a form of words, such as bi-, is its own word."""
        if is_form(part):
            return [part]
        words = WORD.findall(BRACKETS.sub("", part.casefold()))
        return words if self.exact else list(map(singular, words))

    def words_and_pieces(self, text: str) -> set[str]:
        """Its words, those with hyphens also in pieces."""
        words = WORD.findall(text.casefold())
        pieces = {piece for word in words for piece in word.split("-")} | set(words)
        return pieces if self.exact else set(map(singular, pieces))


def is_form(part: str) -> bool:
    """Whether a part of a name is a beginning or an ending of words."""
    return len(part) > 1 and (part.endswith("-") or part.startswith("-"))


def parts_of(label: str) -> list[str]:
    """The parts of a name; of `words with "bi-"` that is bi-, of `the letter "R"` r, of `the character "木"` -木-."""
    if form := FORM.fullmatch(label):
        return [form[1] or (f"-{form[3]}-" if form[3] else form[2].casefold())]
    return label.split(" · ")


def stands(word: str, own: set[str]) -> bool:
    """Whether a text of these words holds a word, or one that has a form and two letters more."""
    if not is_form(word):
        return word in own
    letters = word.strip("-")
    if word.startswith("-") and word.endswith("-"):
        return any(letters in other for other in own)
    has = str.startswith if word.endswith("-") else str.endswith
    return any(has(other, letters) and len(other) >= len(letters) + 2 for other in own)


class Ground(NamedTuple):
    """The label test texts."""

    text_ids: np.ndarray
    words: list[set[str]]
    units: np.ndarray | None
    """float32 [n, d], at length 1; None for a run without an embedder."""
    speller: Speller


def read_parts(folder: Path, columns: list[str]) -> pd.DataFrame:
    """All part files of a table."""
    return pd.concat([pq.read_table(path, columns=columns).to_pandas() for path in sorted(folder.glob("*.parquet"))])


WITH_PLURALS = Speller(exact=False)


def ground_of(run: Path, by_meaning: bool, speller: Speller = WITH_PLURALS) -> Ground:
    """The label test texts, their words and their embeddings; of copies only the first."""
    parts = pq.read_table(run / "summaries/evidence_parts.parquet").to_pandas()
    text_ids = parts.loc[parts["part"] == "judged", "text_id"].to_numpy()
    texts = pq.read_table(run / "texts.parquet", columns=["text_id", "text"]).to_pandas().set_index("text_id")["text"]
    same = texts.loc[text_ids].map(lambda text: " ".join(text.casefold().split()))
    text_ids = text_ids[~same.duplicated().to_numpy()]
    words = [speller.words_and_pieces(text) for text in texts.loc[text_ids]]
    units = None
    if by_meaning:
        rows = read_parts(run / "embeddings", ["text_id", "embedding"]).set_index("text_id").loc[text_ids]
        units = at_length_one(np.stack(rows["embedding"].to_list()).astype(np.float32))
    return Ground(text_ids, words, units, speller)


def at_length_one(vectors: np.ndarray) -> np.ndarray:
    """Rows divided by their lengths; rows of zeros stay."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def keyword_vectors(embedder: dict, keywords: list[str]) -> dict[str, np.ndarray]:
    """The unit embedding of each keyword by the run's embedder, with its prompt, rounded as the run's are."""
    loaded = load_embedder(embedder["name"], prompt=embedder.get("prompt"), max_seq_length=embedder["max_seq_length"])
    vectors = loaded.embed(keywords).astype(embedder["dtype"]).astype(np.float32)
    return dict(zip(keywords, at_length_one(vectors), strict=True))


def measure_again(run: Path, table: pd.DataFrame, ground: Ground, vectors: dict[str, np.ndarray]) -> pd.DataFrame:
    """The rows of the table of fidelities that have measures, with AUROC and average precision measured anew."""
    rows = read_parts(run / "activations/by_feature", ["text_id", "feature_id", "activation"])
    assert (rows["activation"] > 0).all()
    fires = rows[rows["text_id"].isin(ground.text_ids)].groupby("feature_id")["text_id"].agg(list)
    known = table[table["ap"].notna()].copy()
    measures = []
    for row in known.itertuples():
        truth = np.isin(ground.text_ids, fires.loc[row.feature_id])
        assert min(truth.sum(), (~truth).sum()) >= LEAST
        keywords = parts_of(row.label)
        if row.predictor == "resembles":
            scores = ground.units @ np.mean([vectors[keyword] for keyword in keywords], axis=0)
        else:
            needed = [ground.speller.words(keyword) for keyword in keywords]
            scores = np.array(
                [sum(all(stands(word, own) for word in words) for words in needed) for own in ground.words]
            )
        measures.append((roc_auc_score(truth, scores), average_precision_score(truth, scores), truth.sum()))
    again = pd.DataFrame(measures, columns=["auroc again", "ap again", "fires again"], index=known.index)
    return known.join(again)


def interval(values: np.ndarray, middle: object, seed: int) -> str:
    """A mean or median over features with its bootstrap interval."""
    draw = np.random.default_rng(seed)
    drawn = [middle(values[draw.integers(len(values), size=len(values))]) for _ in range(DRAWS)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{middle(values):.4f} ({low:.4f} to {high:.4f})"


def compare(known: pd.DataFrame, predictor: str, seed: int) -> bool:
    """Print ours beside the baseline's by one predictor; return whether ours is higher in everything."""
    rows = known[known["predictor"] == predictor]
    wide = rows.pivot(index="feature_id", columns="method", values=["auroc again", "ap again"]).dropna()
    print(f"\n{predictor}: {len(wide):,} features of which both names were measured")
    higher = True
    for measure in MEASURES:
        ours, theirs = (wide[f"{measure} again"][method].to_numpy() for method in ("ours", "seed"))
        for name, middle in (("mean", np.mean), ("median", np.median)):
            higher &= bool(middle(ours) > middle(theirs))
            columns = {"ours": ours, "baseline": theirs, "paired difference": ours - theirs}
            intervals = "  ".join(f"{column} {interval(values, middle, seed)}" for column, values in columns.items())
            print(f"  {measure:5s} {name:6s}  {intervals}")
        better, worse = np.mean(ours > theirs), np.mean(ours < theirs)
        print(f"  {measure:5s} ours is higher for {better:.1%} of features, lower for {worse:.1%}")
    return higher


def distinct(table: pd.DataFrame) -> None:
    """Print how many names no other feature has, as sets of words."""
    for method, rows in table.drop_duplicates(["feature_id", "method"]).groupby("method"):
        names = [frozenset(WORD.findall(label.casefold())) for label in rows["label"]]
        print(f"  {method}: {len(set(names)):,} distinct names of {len(names):,} ({len(set(names)) / len(names):.2%})")


def main(arguments: list[str] | None = None) -> int:
    """Measure, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("run", nargs="?", default="data/demo")
    parser.add_argument("--exact", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    generation = open_run(options.run).current()
    table = pq.read_table(generation.path / "summaries/fidelity.parquet").to_pandas()
    embedder = generation.describe()["embedder"]
    by_meaning = "resembles" in set(table["predictor"])
    ground = ground_of(generation.path, by_meaning, Speller(options.exact))
    keywords = sorted({keyword for label in table["label"] for keyword in parts_of(label)})
    vectors = keyword_vectors(embedder.get("embedder") or embedder, keywords) if by_meaning else {}
    known = measure_again(generation.path, table, ground, vectors)
    n_fires = known["n_fires"] / known["n_texts"] * len(ground.text_ids)
    print(
        f"{len(ground.text_ids):,} label test texts; "
        f"the median measured feature fires on {n_fires.median():.0f} of them"
    )
    differ = max(float((known[measure] - known[f"{measure} again"]).abs().max()) for measure in MEASURES)
    moved = sum(int(((known[measure] - known[f"{measure} again"]).abs() > 1e-9).sum()) for measure in MEASURES)
    print(f"of {2 * len(known):,} numbers {moved:,} differ from the run's own table, by {differ:.1e} at most")
    whole = bool((known["n_texts"] == len(ground.text_ids)).all())
    if not whole:
        print("the run measured on a sample of the label test texts, this on all of them: differences are expected")
    higher = {
        predictor: compare(known, predictor, options.seed)
        for predictor in sorted(set(table["predictor"]), reverse=True)
    }
    print("\nnames")
    distinct(table)
    return int((whole and differ >= NEAR) or not higher.get("resembles", True))


if __name__ == "__main__":
    sys.exit(main())
