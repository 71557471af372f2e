"""The tables of a set of experiments, data/<run>/experiments/<name>/: what features, embeddings or words predict.

They are beside the generations of a run and not part of them; an experiment is named by label column, representation,
classifier and, where only slices were trained on or tested, by these.
"""

from __future__ import annotations

import pyarrow as pa

FOLDER, ABOUT = "experiments", "experiments.json"


def every(column: str) -> str:
    """Return the words for the training texts of all slices of a column together."""
    return f"every {column}"


SCORES = pa.schema(
    {
        "experiment": pa.string(),
        "label_column": pa.string(),
        "representation": pa.string(),
        "classifier": pa.string(),
        "train": pa.string(),
        "test": pa.string(),
        "metric": pa.string(),
        "value": pa.float64(),
        "low": pa.float64(),
        "high": pa.float64(),
        "n_train": pa.int64(),
        "n_test": pa.int64(),
        "seconds": pa.float64(),
        "settings": pa.string(),
        "model": pa.string(),
        "slice_column": pa.string(),
        "test_run": pa.string(),
    }
)
"""`model` is what was tested: one model may be tested on several slices. `slice_column` is empty where texts are not
those of a slice, and `test_run` where the test texts are of the run itself."""
PREDICTIONS = pa.schema(
    {"experiment": pa.string(), "text_id": pa.int64(), "true": pa.string(), "predicted": pa.string()}
)
IMPORTANCES = pa.schema(
    {
        "model": pa.string(),
        "label": pa.string(),
        "rank": pa.int32(),
        "column": pa.int32(),
        "name": pa.string(),
        "weight": pa.float32(),
    }
)
CONTRIBUTIONS = pa.schema(
    {
        "experiment": pa.string(),
        "text_id": pa.int64(),
        "rank": pa.int32(),
        "column": pa.int32(),
        "name": pa.string(),
        "contribution": pa.float32(),
    }
)
NODES = pa.schema(
    {
        "model": pa.string(),
        "node": pa.int32(),
        "column": pa.int32(),
        "name": pa.string(),
        "threshold": pa.float64(),
        "low": pa.int32(),
        "high": pa.int32(),
        "n_texts": pa.int64(),
        "labels": pa.list_(pa.string()),
        "shares": pa.list_(pa.float32()),
    }
)
RESAMPLES = pa.schema(
    {
        "model": pa.string(),
        "division": pa.int32(),
        "drawn": pa.string(),
        "accuracy": pa.float64(),
        "macro_f1": pa.float64(),
        "n_train": pa.int64(),
        "n_test": pa.int64(),
    }
)
EXPERIMENT_TABLES = {
    "scores": SCORES,
    "predictions": PREDICTIONS,
    "importances": IMPORTANCES,
    "contributions": CONTRIBUTIONS,
    "nodes": NODES,
    "resamples": RESAMPLES,
}
"""The tables by the name of their file."""
