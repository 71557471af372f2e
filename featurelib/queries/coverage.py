"""Questions about a feature's name: how many texts hold it, where it fails, and how sure of it one may be."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from featurelib.queries.features import Feature
from featurelib.queries.fidelity import fidelity
from featurelib.schema import DENSE, FEATURE_THEMES, FIDELITY, NAME_COVERAGE, NAME_FAILURES
from featurelib.storage.fired import texts_of
from featurelib.storage.store import Store

RARE = 10
"""A feature that fires on fewer texts is too rare for its name to be judged."""
RELIABLE, FAIR = 0.8, 0.65
"""The lower ends of the AUROC's interval from which a name is called reliable, and fair."""


class Coverage(NamedTuple):
    """How many of a feature's strongest label test texts hold a part of its name."""

    n_strongest: int
    n_holding: int


def coverage(store: Store, feature_id: int) -> Coverage | None:
    """Return the coverage of a feature's name; None where it has none, or was named by an older version."""
    if not store.has(NAME_COVERAGE):
        return None
    rows = store.look_up(
        """
        select n_strongest, n_holding
        from name_coverage
        where feature_id = $feature_id and method = 'ours'
        order by feature_id""",
        feature_id=feature_id,
    ).to_pylist()
    return Coverage(**rows[0]) if rows else None


def name_failures(store: Store, feature_id: int) -> pa.Table | None:
    """Return the label test texts on which a name fails, by kind and rank; None where they are not known.

    Columns: kind (featurelib.schema.records), rank, text_id, cosine (of the text to the name; null without an
    embedder), n_held (parts of the name that the text holds), activation (0 where the feature does not fire).
    """
    if not store.has(NAME_FAILURES):
        return None
    rows = store.look_up(
        """
        select kind, rank, text_id, cosine, n_held
        from name_failures
        where feature_id = $feature_id
        order by kind, rank""",
        feature_id=feature_id,
    )
    fired = texts_of(store, feature_id)
    inside = np.isin(np.asarray(fired.text_ids), rows["text_id"].to_numpy())
    known = dict(zip(np.asarray(fired.text_ids)[inside].tolist(), np.asarray(fired.activations)[inside], strict=True))
    activations = [float(known.get(text_id, 0.0)) for text_id in rows["text_id"].to_pylist()]
    return rows.append_column("activation", pa.array(activations, pa.float32()))


def feature_themes(store: Store, feature_id: int) -> pa.Table:
    """Return the themes of a feature whose texts are of two or three, the largest first; else no rows.

    Columns: label, share (of the texts that names are made from), n_texts, n_tested (label test texts that are nearest
    to the theme), n_holding (of these, those that hold the label).
    """
    if not store.has(FEATURE_THEMES):
        return pa.table({})
    return store.look_up(
        """
        select label, share, n_texts, n_tested, n_holding
        from feature_themes
        where feature_id = $feature_id
        order by rank""",
        feature_id=feature_id,
    )


def certainty(store: Store, feature: Feature) -> str:
    """Return in a word how sure a feature's name is, see `how_sure`; a run of an older version knows less of it."""
    measured = fidelity(store, feature.feature_id) if store.has(FIDELITY) else []
    lows = [row.auroc_low for row in measured if row.method == "ours"]
    return how_sure(feature, lows[0] if lows else None)


def how_sure(feature: Feature, auroc_low: float | None) -> str:
    """Return in a word how sure a name is: reliable, fair, weak, too rare to judge, not measured, or why it has none.

    `auroc_low` is the lower end of the interval of the AUROC with which the name predicts firing on label test texts.
    """
    if feature.label_source == "not yet":
        return "not named yet"
    if feature.label_source == "none":
        return "no single theme" if feature.density > DENSE else "no name"
    if feature.n_active < RARE:
        return "too rare to judge"
    if auroc_low is None:
        return "not measured"
    return "reliable" if auroc_low >= RELIABLE else "fair" if auroc_low >= FAIR else "weak"
