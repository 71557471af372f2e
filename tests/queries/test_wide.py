"""A run with 414 metadata columns: which are offered, which are listed, and that every one can be asked for."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import featurelib
from featurelib import queries
from featurelib.schema import Refusal
from featurelib.storage.store import Store, open_store
from tests.support.numpy_run import CLASHING, N_TEXTS, NumpyRun
from tests.support.wide_run import EMPTY, EVEN, RARE, SKEWED, UNIQUE, make_wide_run

FIXED = {"rank", "text_id", "activation", "text", "source_id", "n_tokens", "truncated", "cut", "sae_split", "n_copies"}


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> tuple[NumpyRun, pd.DataFrame]:
    return make_wide_run(tmp_path_factory.mktemp("wide") / "wide")


@pytest.fixture(scope="module")
def store(wide: tuple[NumpyRun, pd.DataFrame]) -> Store:
    return open_store(wide[0].generation)


def test_every_column_is_summed_up_as_pandas_does(store: Store, wide: tuple[NumpyRun, pd.DataFrame]) -> None:
    summed = {column.name: column for column in queries.metadata_columns(store)}
    assert list(summed)[-400:] == list(wide[1].columns)
    for name, values in wide[1].items():
        counts = values.value_counts()
        assert summed[name].n_distinct == values.nunique()
        assert summed[name].filled == pytest.approx(values.notna().mean())
        assert summed[name].telling == pytest.approx(counts.iloc[1:8].sum() / N_TEXTS)


def test_the_thirty_most_telling_columns_are_offered_in_their_order(store: Store) -> None:
    offered = [column.name for column in queries.telling_columns(store)]
    # group: g0 to g3, empty on every eleventh text; year: seven values; labels: eight; these tell more than two halves
    assert offered == ["group", "year", "labels", *EVEN[:27]]
    every = {column.name for column in queries.filter_columns(store)}
    # 300 texts, so a value of its own for each is just few enough
    assert every >= {*EVEN, *SKEWED, *RARE, *UNIQUE} and not every & {*EMPTY, "title"}


def test_lists_bring_the_title_and_the_thirty_fullest_columns(store: Store) -> None:
    listed = [column.name for column in queries.listed_columns(store)]
    assert len(listed) == 31 and listed[0] == "title" and not set(listed) & {*EMPTY, *RARE}
    names = [name for name in queries.top_texts(store, 1).column_names if name not in FIXED]
    assert names == [column.shown_name for column in queries.listed_columns(store)]
    for rows in (queries.texts(store, [1]), queries.bands(store, 1), queries.near_misses(store, 1)):
        assert rows.num_columns < 50


def test_a_notebook_gets_every_column(wide: tuple[NumpyRun, pd.DataFrame]) -> None:
    assert set(wide[1].columns) <= set(featurelib.open(wide[0].run.path).top_texts(1, limit=2).columns)


def test_every_column_of_one_text_can_be_asked_for(store: Store, wide: tuple[NumpyRun, pd.DataFrame]) -> None:
    values = queries.text_metadata(store, 14)
    assert len(values) == 400 + len(CLASHING) + 5
    assert {name: values[name] for name in wide[1]} == wide[1].loc[14].where(wide[1].loc[14].notna(), None).to_dict()
    assert queries.text_metadata(store, 14, [RARE[5], UNIQUE[7]]) == {RARE[5]: "r1", UNIQUE[7]: f"u{30 + 100 + 7} 14"}
    with pytest.raises(Refusal, match="no column 'nowhere'"):
        queries.text_metadata(store, 14, ["nowhere"])
    with pytest.raises(Refusal, match="0 to 299"):
        queries.text_metadata(store, 300, [RARE[5]])


def test_a_column_that_is_not_offered_narrows_all_the_same(store: Store, wide: tuple[NumpyRun, pd.DataFrame]) -> None:
    shown = queries.top_texts(store, 1, limit=500, column=RARE[90], value="r0")["text_id"].to_pylist()
    fires = wide[0].activations[:, 1] > 0
    assert sorted(shown) == [i for i in range(N_TEXTS) if fires[i] and wide[1][RARE[90]][i] == "r0"]
    assert shown


def test_an_unknown_column_is_answered_with_some_names_and_the_number_of_the_others(store: Store) -> None:
    with pytest.raises(Refusal, match=r"are: title, group, .* and 402 more\.") as refused:
        queries.metadata_values(store, 1, "nowhere")
    assert len(str(refused.value)) < 300


def test_columns_without_rows_and_without_any_column(tmp_path: Path) -> None:
    """Relatives: a table without own columns, and one whose texts are all gone."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from featurelib.storage.metadata import summarise_columns

    pq.write_table(pa.table({"text": pa.array([], pa.string()), "year": pa.array([], pa.int64())}), tmp_path / "none")
    assert summarise_columns(tmp_path / "none", []) == {}
    summary = summarise_columns(tmp_path / "none", ["year"])["year"]
    assert (summary.n_distinct, summary.filled, summary.telling) == (0, 0.0, 0.0)
