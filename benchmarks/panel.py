"""Which names would readers match with a feature's texts? A blind panel: a sheet to fill in, and its count.

    python -m benchmarks.panel draw RUN OLDER_RUN FOLDER [--features 100] [--seed 0]
    python -m benchmarks.panel count FOLDER FILLED.csv [FILLED.csv …]

`draw` takes features that fire on five label test texts or more and have a name in both runs (the same texts and SAE,
named by two versions), by seed. FOLDER/sheet.csv holds for each the openings of its five strongest label test texts and
four names as A to D in shuffled order: that of RUN, of OLDER_RUN, of the thesis' method, and (chance) RUN's name of
another drawn feature. No score is shown. A reader writes into `fits` the letters of all names that say what the texts
have in common (none: leave it empty), and into `best` the one that says it best. FOLDER/key.csv says which letter is
which, and is not to be read before.

`count` prints for each method the share of features whose name fits and the share for which it is best, each with its
95 % bootstrap interval over features; several readers are counted together, and how often two of them agree is said.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks.names import Names, run_names, thesis_names
from featurelib.storage.runs import open_run

LETTERS = "ABCD"
METHODS = ("this run", "the older run", "the thesis' method", "chance: another feature's")
TEXTS, LEAST, OPENING, DRAWS = 5, 5, 220, 2000
ITEM, FITS, BEST = "item", "fits", "best"


def strongest_tests(run: Path) -> dict[int, list[str]]:
    """The openings of the five strongest label test texts of each feature that fires on as many."""
    texts = pq.read_table(run / "texts.parquet", columns=["text_id", "text"]).to_pandas().sort_values("text_id")["text"]
    parts = pq.read_table(run / "summaries/evidence_parts.parquet").to_pandas().sort_values("text_id")["part"]
    is_test = (parts == "judged").to_numpy()
    found = {}
    for path in sorted((run / "activations/by_feature").glob("*.parquet")):
        rows = pq.read_table(path, columns=["text_id", "feature_id", "activation"]).to_pandas()
        rows = rows[is_test[rows["text_id"]]].sort_values(["activation", "text_id"], ascending=[False, True])
        for feature_id, group in rows.groupby("feature_id")["text_id"]:
            if len(group) >= LEAST:
                found[int(feature_id)] = [" ".join(texts.iloc[place].split())[:OPENING] for place in group[:TEXTS]]
    return found


def draw(run: Path, older: Path, folder: Path, n_features: int, seed: int) -> None:
    """Write the sheet and the key."""
    texts = strongest_tests(run)
    methods: list[Names] = [run_names(run), run_names(older), thesis_names(run)]
    known = sorted(set(texts).intersection(*methods))
    random = np.random.default_rng(seed)
    chosen = sorted(random.choice(known, min(n_features, len(known)), replace=False).tolist())
    others = np.roll(random.permutation(chosen), 1).tolist()
    folder.mkdir(parents=True, exist_ok=True)
    head = [ITEM, *(f"text {number}" for number in range(1, TEXTS + 1)), *LETTERS, FITS, BEST]
    sheet, key = [head], [[ITEM, "feature", *LETTERS]]
    for item, (feature_id, other) in enumerate(zip(chosen, others, strict=True), 1):
        stranger = other if other != feature_id else chosen[(chosen.index(other) + 1) % len(chosen)]
        names = [*(names[feature_id] for names in methods), methods[0][stranger]]
        order = random.permutation(len(METHODS)).tolist()
        sheet.append([item, *texts[feature_id], *(" · ".join(names[place]) for place in order), "", ""])
        key.append([item, feature_id, *(METHODS[place] for place in order)])
    for name, rows in (("sheet.csv", sheet), ("key.csv", key)):
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
    print(f"{len(chosen)} features of {len(known)} in {folder / 'sheet.csv'}; the key is {folder / 'key.csv'}")


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def answers(folder: Path, filled: Path, column: str) -> np.ndarray:
    """Which methods a reader's letters name, float of 0 and 1, [n_items, n_methods]; methods with one name share it."""
    key, sheet = ({row[ITEM]: row for row in read(folder / name)} for name in ("key.csv", "sheet.csv"))
    rows = {row[ITEM]: row[column].upper() for row in read(filled)}
    missing = key.keys() - rows.keys()
    if missing:
        raise SystemExit(f"{filled} lacks {len(missing)} of {len(key)} items; fill in the whole sheet.")
    marked = np.zeros((len(key), len(METHODS)))
    for place, (item, letters) in enumerate(key.items()):
        names = {sheet[item][letter] for letter in LETTERS if letter in rows[item]}
        for letter in LETTERS:
            if sheet[item][letter] in names:
                marked[place, METHODS.index(letters[letter])] = 1
    return marked


def interval(values: np.ndarray, random: np.random.Generator) -> str:
    """A mean over features with its bootstrap interval."""
    drawn = values[random.integers(len(values), size=(DRAWS, len(values)))].mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{values.mean():.2f} ({low:.2f}–{high:.2f})"


def count(folder: Path, filled: list[Path]) -> None:
    """Print the table."""
    fits, best = (np.stack([answers(folder, path, column) for path in filled]) for column in (FITS, BEST))
    random = np.random.default_rng(0)
    print(f"{fits.shape[1]} features, {len(filled)} readers")
    for place, method in enumerate(METHODS):
        own = [interval(marked[:, :, place].mean(axis=0), random) for marked in (fits, best)]
        print(f"  {method:26s} fits {own[0]:20s} best {own[1]}")
    for first, second in itertools.combinations(range(len(filled)), 2):
        agreed = (fits[first] == fits[second]).mean()
        print(f"  {filled[first].name} and {filled[second].name} agree on {agreed:.0%} of names")


def main(arguments: list[str] | None = None) -> int:
    """Draw or count."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    drawing = verbs.add_parser("draw")
    drawing.add_argument("run", type=Path)
    drawing.add_argument("older", type=Path)
    drawing.add_argument("folder", type=Path)
    drawing.add_argument("--features", type=int, default=100)
    drawing.add_argument("--seed", type=int, default=0)
    counting = verbs.add_parser("count")
    counting.add_argument("folder", type=Path)
    counting.add_argument("filled", type=Path, nargs="+")
    options = parser.parse_args(arguments)
    if options.verb == "count":
        count(options.folder, options.filled)
    else:
        run, older = (open_run(path).current().path for path in (options.run, options.older))
        draw(run, older, options.folder, options.features, options.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
