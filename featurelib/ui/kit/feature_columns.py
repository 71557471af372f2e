"""The columns of the table of all features: heads, formats, what each number is."""

from __future__ import annotations

from featurelib.ui.kit.tables import Column, id_column, number_column, share_column, text_column


def cluster_name(cluster: int) -> str:
    """A cluster of the map by its number; HDBSCAN's −1 is no cluster."""
    return "none" if cluster < 0 else str(cluster)


FEATURES = {
    "feature_id": id_column("id", sort="feature_id", phone=False),
    "label": text_column("feature", sort="label"),
    "strongest": text_column("strongest text", phone=False, one_line=True, longest=120),
    "keywords": text_column("keywords", phone=False, one_line=True, longest=120),
    "auroc": number_column(
        "AUROC",
        2,
        sort="auroc",
        phone=False,
        help="How well a text's similarity to the name predicts firing, on label test texts: 0.5 is chance, 1 perfect.",
    ),
    "ap": number_column("AP", 2, sort="ap", phone=False, help="Average precision of the same; chance is the density."),
    "held": Column(
        "name is in",
        phone=False,
        help="Of its (up to 20) strongest label test texts, those that hold a part of its name.",
    ),
    "n_active": number_column("texts", sort="n_active", phone=False, help="The number of texts on which it fires."),
    "density": share_column("density", sort="density", help="The share of texts on which it fires."),
    "max_activation": number_column("maximum", 3, sort="max_activation", help="Its largest activation."),
    "mean_activation": number_column(
        "mean", 3, sort="mean_activation", phone=False, help="Its mean activation where it fires."
    ),
    "gate": number_column(
        "threshold", 3, sort="gate", phone=False, help="The feature fires where its pre-activation exceeds it."
    ),
    "cluster": text_column(
        "cluster", show=cluster_name, sort="cluster", phone=False, help="Its cluster of directions on the map."
    ),
}
