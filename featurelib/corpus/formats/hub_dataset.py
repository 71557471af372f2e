"""A dataset on the Hugging Face hub as a source; the `datasets` library lives here only."""

from __future__ import annotations

import functools
import urllib.error
import urllib.request
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from featurelib.corpus.source import BATCH_ROWS, PEEK_ROWS, ArrowSource, name_columns
from featurelib.schema import Refusal

REACH_SECONDS = 5


def _library(name: str) -> ModuleType:
    """Import `datasets`; where the hub cannot be reached, tell it so, and it looks into its cache only."""
    try:
        import datasets
    except ImportError as error:
        raise Refusal(
            f"'{name}' is no file or folder here and is taken for a dataset on the Hugging Face hub, which needs the "
            "package datasets: python -m pip install datasets."
        ) from error
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity_error()
    # Left to itself the library tries for 25 seconds and writes a line on stderr for each attempt.
    datasets.config.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE or not _reaches(datasets.config.HF_ENDPOINT)
    library: ModuleType = datasets
    return library


@functools.cache
def _reaches(endpoint: str) -> bool:
    try:
        urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=REACH_SECONDS).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def _parts(name: str) -> tuple[str, str | None, str | None]:
    """Split OWNER/NAME[:CONFIG[:SPLIT]]; the library is told not to look for a folder of that name."""
    dataset, config, split = (*name.split(":"), None, None)[:3]
    return f"hf://datasets/{dataset}", config or None, split or None


def _refusal(name: str, error: Exception) -> Refusal:
    if isinstance(error, ConnectionError):
        reason = "the Hugging Face hub cannot be reached and its cache here does not hold such a dataset"
    else:
        reason = f"as a dataset on the Hugging Face hub it cannot be read ({' '.join(str(error).split())[:160]})"
    mend = "check the name (OWNER/NAME:CONFIG:SPLIT) and the connection, or give a file."
    return Refusal(f"'{name}' is no file or folder here, and {reason}; {mend}")


def _builder(name: str) -> Any:
    datasets = _library(name)
    dataset, config, _ = _parts(name)
    try:
        return datasets.load_dataset_builder(dataset, config)
    except (OSError, ValueError, RuntimeError, _http_error()) as error:
        raise _refusal(name, error) from error


def _http_error() -> type[Exception]:
    from huggingface_hub.errors import HfHubHTTPError

    return HfHubHTTPError


def revision(name: str) -> str:
    """Return the revision that would be read: the hub's, or offline that of the copy in the cache."""
    builder = _builder(name)
    builder_hash = builder.hash or builder.config_id
    return str(builder_hash)


class HubSource(ArrowSource):
    """One split of a dataset: "train" where there is one, else the only one; OWNER/NAME[:CONFIG[:SPLIT]]."""

    def __init__(self, name: str) -> None:
        """Download the dataset, or find it in the cache; Refusal when neither works."""
        datasets = _library(name)
        dataset, config, split = _parts(name)
        split = split or self._only_split(name)
        try:
            dataset_split = datasets.load_dataset(dataset, config, split=split)
        except (OSError, ValueError, RuntimeError, _http_error()) as error:
            raise _refusal(name, error) from error
        super().__init__(name, dataset_split.num_rows)
        self.facts["split"] = split
        self._split_rows = dataset_split.with_format("arrow")
        features = dataset_split.features
        self._classes = {
            name: feature.names for name, feature in features.items() if isinstance(feature, datasets.ClassLabel)
        }
        if self._classes:
            self.facts["class_names"] = list(self._classes)
            self.notes.append(f"class numbers are kept as names: {', '.join(self._classes)}.")
        self._unique = name_columns(self, self._split_rows.column_names)

    @staticmethod
    def _only_split(name: str) -> str:
        known = [str(split) for split in (_builder(name).info.splits or {})]
        if not known or "train" in known:
            return "train"
        if len(known) > 1:
            raise Refusal(f"dataset '{name}' has the splits {', '.join(known)}; choose one: OWNER/NAME:CONFIG:SPLIT.")
        return known[0]

    def _plain(self, table: pa.Table) -> pa.Table:
        """Give the columns their unique names and classes theirs."""
        for name, classes in self._classes.items():
            numbers = table[name].combine_chunks()
            known = pc.if_else(pc.greater_equal(numbers, 0), numbers, None)
            table = table.set_column(table.column_names.index(name), name, pa.array(classes, pa.string()).take(known))
        return table.rename_columns(self._unique)

    def schema(self) -> pa.Schema:
        """All columns under unique names."""
        return self.peek().schema

    def peek(self) -> pa.Table:
        """The first thousand rows."""
        return self._plain(self._split_rows[:PEEK_ROWS])

    def batches(self, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
        """Yield record batches in the order of the dataset."""
        for table in self._split_rows.iter(BATCH_ROWS):
            plain = self._plain(table)
            yield from (plain if columns is None else plain.select(columns)).combine_chunks().to_batches()
