"""Questions about sets of texts: which features fire oftener in one than in another."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from featurelib.queries.metadata import CodedTexts, coded_texts, metadata_column
from featurelib.schema import FEATURES, Refusal
from featurelib.slices.contrast import Contrast, Sets, contrasts
from featurelib.slices.units import Units
from featurelib.storage.answers import once_per_generation
from featurelib.storage.derived import cards_of
from featurelib.storage.fired import feature_blocks, texts_of
from featurelib.storage.store import Store

MOST_VALUES = 60
"""Values of a column that are held against the others at once, the commonest."""
LEAST_TEXTS = 2
"""Different texts that a set must have to be compared."""


@once_per_generation
def units(store: Store) -> Units:
    """Return which texts count, each different text once, and their lengths in characters."""
    rows = store.ask("select hash(text) as key, length(text) as length from texts order by text_id")
    return Units(rows["key"].to_numpy(), rows["length"].to_numpy())


def texts_having(store: Store, column: str, value: str) -> np.ndarray:
    """Return the texts that have a value in a column (of a column of lists: among others), ascending, int64 [n]."""
    return _own(coded_texts(store, metadata_column(store, column)), column, value)


def _own(coded: CodedTexts, column: str, value: str) -> np.ndarray:
    if value not in coded.values:
        raise Refusal(f"no text has the value '{value[:60]}' in '{column}'; choose one from the list.")
    return coded.having(coded.values.index(value))


def contrast(store: Store, a: np.ndarray, b: np.ndarray | None = None) -> Contrast:
    """Hold the texts A against the texts B, without B against all others; ids in any order.

    Texts that are in both are taken out of both. Refusal when fewer than two different texts are left on a side.
    """
    store.need(FEATURES)
    in_a, in_b = np.zeros(store.n_texts, bool), np.full(store.n_texts, b is None)
    in_a[a] = True
    if b is not None:
        in_b[b] = True
        both = in_a & in_b
        in_a, in_b = in_a & ~both, in_b & ~both
    sets = Sets.of([np.flatnonzero(in_a)], in_a | in_b, units(store))
    n_a = len(sets.members[0])
    for name, n in (("A", n_a), ("B", len(sets.counted) - n_a)):
        if n < LEAST_TEXTS:
            raise Refusal(f"slice {name} has {n} different texts; {LEAST_TEXTS} are needed to compare: widen it.")
    return contrasts(feature_blocks(store), sets, store.n_texts)[0]


def contrast_value(store: Store, column: str, value: str) -> Contrast:
    """Hold the texts that have a value in a column against the others that have one; Refusal as `contrast`."""
    coded = coded_texts(store, metadata_column(store, column))
    own = _own(coded, column, value)
    return contrast(store, own, np.setdiff1d(coded.text_ids, own))


def contrast_rows(store: Store, compared: Contrast) -> pa.Table:
    """Return the features that fire in A or B: feature_id, label, then what a comparison says of each.

    Columns: density_a, density_b, difference (their difference), lift (their ratio, null where density_b is 0), auroc,
    rate (Benjamini-Hochberg), differs, follows_length, active_a, active_b, expected.
    """
    chosen = np.flatnonzero(compared.active_a + compared.active_b)
    density_a, density_b = compared.density_a[chosen], compared.density_b[chosen]
    known = cards_of(store, chosen)
    return pa.table(
        {
            "feature_id": pa.array(chosen, pa.int32()),
            "label": known["label"],
            "density_a": density_a,
            "density_b": density_b,
            "difference": density_a - density_b,
            "lift": lift(density_a, density_b),
            "auroc": compared.auroc[chosen],
            "rate": compared.rate[chosen],
            "differs": compared.differs[chosen],
            "follows_length": compared.follows_length[chosen],
            "active_a": compared.active_a[chosen],
            "active_b": compared.active_b[chosen],
            "expected": compared.expected[chosen],
        }
    )


def lift(density_a: np.ndarray, density_b: np.ndarray) -> pa.Array:
    """Return how many times as often features fire, null where they never fire in B."""
    ratio = np.divide(density_a, density_b, out=np.zeros(len(density_a)), where=density_b > 0)
    return pa.array(ratio, mask=density_b == 0)


def value_contrasts(store: Store, column: str) -> pa.Table:
    """Return the values of a column, each held against the other texts that have one, the commonest first.

    Columns: value, n_texts (different texts), n_features (that differ), feature_id, label, density_a, density_b, auroc
    of the feature with the highest AUROC among those that fire oftener; null where there is none. At most
    `MOST_VALUES` values.
    """
    store.need(FEATURES)
    coded = coded_texts(store, metadata_column(store, column))
    commonest = np.argsort(-coded.n_corpus, kind="stable")[:MOST_VALUES].tolist()
    counted = np.zeros(store.n_texts, bool)
    counted[coded.text_ids] = True
    sets = Sets.of([coded.having(code) for code in commonest], counted, units(store))
    compared = contrasts(feature_blocks(store), sets, store.n_texts)
    best = [_most_telling(each) for each in compared]
    known = cards_of(store, np.array([feature_id for feature_id in best if feature_id is not None], np.int64))
    labels = iter(known["label"].to_pylist())
    return pa.table(
        {
            "value": [coded.values[code] for code in commonest],
            "n_texts": [each.n_a for each in compared],
            "n_features": [int(each.differs.sum()) for each in compared],
            "feature_id": pa.array(best, pa.int32()),
            "label": pa.array([None if feature_id is None else next(labels) for feature_id in best], pa.string()),
            **{
                name: pa.array(_of_best(compared, best, name), pa.float64())
                for name in ("density_a", "density_b", "auroc")
            },
        }
    )


def _most_telling(compared: Contrast) -> int | None:
    """The feature with the highest AUROC among those that differ and fire oftener in A."""
    oftener = np.flatnonzero(compared.differs & (compared.density_a > compared.density_b))
    return int(oftener[np.argmax(compared.auroc[oftener])]) if len(oftener) else None


def _of_best(compared: list[Contrast], best: list[int | None], name: str) -> list[float | None]:
    pairs = zip(compared, best, strict=True)
    return [None if feature_id is None else float(getattr(each, name)[feature_id]) for each, feature_id in pairs]


def top_texts_among(store: Store, feature_id: int, text_ids: np.ndarray, *, limit: int = 5) -> pa.Table:
    """Return the texts of a set on which a feature is most active, the strongest first: text_id, activation."""
    fired = texts_of(store, feature_id)
    inside = np.zeros(store.n_texts, bool)
    inside[text_ids] = True
    places = np.flatnonzero(inside[fired.text_ids])[:limit]
    return pa.table(
        {
            "text_id": pa.array(np.asarray(fired.text_ids)[places], pa.int64()),
            "activation": pa.array(np.asarray(fired.activations)[places], pa.float32()),
        }
    )
