"""The tables of a set of experiments, data/<run>/experiments/<name>/: what features, embeddings or words predict.

They are beside the generations of a run and not part of them; an experiment is named by label column, representation
and classifier.
"""

from __future__ import annotations

import pyarrow as pa

FOLDER, ABOUT = "experiments", "experiments.json"
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
    }
)
PREDICTIONS = pa.schema(
    {"experiment": pa.string(), "text_id": pa.int64(), "true": pa.string(), "predicted": pa.string()}
)
IMPORTANCES = pa.schema(
    {
        "experiment": pa.string(),
        "label": pa.string(),
        "rank": pa.int32(),
        "column": pa.int32(),
        "name": pa.string(),
        "weight": pa.float64(),
    }
)
CONTRIBUTIONS = pa.schema(
    {
        "experiment": pa.string(),
        "text_id": pa.int64(),
        "rank": pa.int32(),
        "column": pa.int32(),
        "name": pa.string(),
        "contribution": pa.float64(),
    }
)
NODES = pa.schema(
    {
        "experiment": pa.string(),
        "node": pa.int32(),
        "column": pa.int32(),
        "name": pa.string(),
        "threshold": pa.float64(),
        "low": pa.int32(),
        "high": pa.int32(),
        "n_texts": pa.int64(),
        "labels": pa.list_(pa.string()),
        "shares": pa.list_(pa.float64()),
    }
)
EXPERIMENT_TABLES = {
    "scores": SCORES,
    "predictions": PREDICTIONS,
    "importances": IMPORTANCES,
    "contributions": CONTRIBUTIONS,
    "nodes": NODES,
}
"""The tables by the name of their file."""
