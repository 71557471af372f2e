"""What is asked about coarser and finer levels, against pandas on the tables as they lie on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from featurelib import queries, schema
from featurelib.queries import FeatureFilter
from featurelib.schema import Refusal
from featurelib.storage.store import Store, open_store
from tests.support.numpy_run import HOSTILE, N_FEATURES, NumpyRun, make_run
from tests.support.region_run import NAMES, SIZES, UNNAMED, region_run
from tests.support.structure_run import CHILDREN, ROOT, planted, structure_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NumpyRun:
    return region_run(tmp_path_factory.mktemp("regions") / "regions")


@pytest.fixture(scope="module")
def store(made: NumpyRun) -> Store:
    return open_store(made.generation)


@pytest.fixture(scope="module")
def tables(made: NumpyRun) -> dict[str, pd.DataFrame]:
    """The tables on disk by name."""
    return {
        table.view: pq.read_table(made.generation.file(table)).to_pandas()
        for table in (schema.REGIONS, schema.REGION_FEATURES, schema.NAME_COVERAGE, schema.FIDELITY, schema.LABELS)
    }


def test_levels_lead_from_few_groups_to_all_features(store: Store) -> None:
    levels = queries.levels(store)
    assert [level.key for level in levels] == ["themes", "groups", "fine", "all"]
    assert [level.name for level in levels] == ["2 themes", "4 groups", "8 fine groups", "all 40 features"]
    assert [level.regions for level in levels] == [0, 1, 2, None] and not any(level.first for level in levels)


def test_the_names_of_a_level_are_judged_together(store: Store, tables: dict[str, pd.DataFrame]) -> None:
    *of_groups, every = queries.levels(store)
    for level in of_groups:
        rows = tables["regions"].query("level == @level.regions").dropna(subset="label")
        assert level.coverage == pytest.approx(rows["n_holding"].sum() / rows["n_strongest"].sum())
        assert level.auroc == pytest.approx(rows["auroc"].mean())
    ours = tables["name_coverage"].query("method == 'ours'")
    assert every.coverage == pytest.approx(ours["n_holding"].sum() / ours["n_strongest"].sum())
    resembling = tables["fidelity"].query("method == 'ours' and predictor == 'resembles'")
    assert every.auroc == pytest.approx(resembling["auroc"].mean())


@pytest.mark.parametrize("sort", queries.GROUP_SORTS)
@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_groups_are_the_regions_of_a_level_in_the_order_asked_for(
    store: Store, tables: dict[str, pd.DataFrame], level: int, sort: str, descending: bool
) -> None:
    regions = tables["regions"].query("level == @level").copy()
    kinds = ["theme", "group", "fine group"]
    every = tables["regions"]
    named = {
        (row.level, row.region_id): f"{kinds[row.level]} {row.region_id}" if pd.isna(row.label) else row.label
        for row in every.itertuples()
    }
    regions["coverage"] = (regions["n_holding"] / regions["n_strongest"]).where(regions["label"].notna())
    regions["label"] = [named[level, region] for region in regions["region_id"]]
    regions["parent"] = [named.get((level - 1, parent)) for parent in regions["parent_id"]]
    expected = regions.sort_values("region_id").sort_values(
        sort,
        ascending=not descending,
        na_position="last",
        kind="stable",
        key=lambda column: column.str.lower() if column.name == "label" else column,
    )
    rows = queries.groups(store, level, sort=sort, descending=descending).to_pandas()
    assert rows["region_id"].tolist() == expected["region_id"].tolist()
    for name in ("label", "n_features", "n_texts", "n_strongest", "n_holding"):
        assert rows[name].tolist() == expected[name].tolist()
    assert rows["parent"].fillna("").tolist() == expected["parent"].fillna("").tolist()
    for name in ("share", "coverage", "auroc", "ap"):
        np.testing.assert_array_equal(rows[name], expected[name])


def test_groups_are_found_by_words_of_their_names_in_any_case(store: Store) -> None:
    assert queries.groups(store, 1, words="café STRASSE").num_rows == 0
    assert queries.groups(store, 1, words="café straße")["region_id"].to_pylist() == [1]
    assert queries.groups(store, 0, words=HOSTILE)["region_id"].to_pylist() == [1]
    # one without a name is found by what it is called
    assert queries.groups(store, 2, words="group 6")["is_named"].to_pylist() == [False]
    assert queries.groups(store, 2, words="galaxy").num_rows == 0
    with pytest.raises(Refusal, match="cannot be sorted by"):
        queries.groups(store, 0, sort="level; drop table x")


def test_nested_groups_keep_what_a_found_group_lies_in(store: Store) -> None:
    def places(**options: object) -> set[tuple[int, int]]:
        rows = queries.nested_groups(store, **options).to_pylist()
        return {(row["level"], row["region_id"]) for row in rows}

    assert places(level=2) == {(level, region) for level, size in enumerate(SIZES) for region in range(size)}
    assert places(level=1) == {(level, region) for level, size in enumerate(SIZES[:2]) for region in range(size)}
    assert places(level=2, words="name27") == {(2, 7), (1, 3), (0, 1)}
    assert places(level=1, words="name27") == set()


def test_the_path_of_a_group_leads_through_coarser_ones(store: Store) -> None:
    path = queries.group_path(store, 2, 5)
    assert [(group.level, group.region_id) for group in path] == [(0, 1), (1, 1), (2, 5)]
    assert [group.label for group in path] == [NAMES[0, 1], NAMES[1, 1], "name25 star5"]
    assert queries.group_path(store, *UNNAMED[1])[-1].label == "fine group 6"
    for level, region in ((0, 2), (3, 0), (9, 9)):
        with pytest.raises(Refusal, match="no group"):
            queries.group_path(store, level, region)


@pytest.mark.parametrize("region", [(0, 1), (1, 2), (2, 7)])
def test_the_features_of_a_group_are_those_of_the_table(
    store: Store, tables: dict[str, pd.DataFrame], region: tuple[int, int]
) -> None:
    level, region_id = region
    expected = tables["region_features"].query("level == @level and region_id == @region_id")["feature_id"].tolist()
    which = FeatureFilter(region=region)
    assert sorted(queries.features(store, which, limit=None)["feature_id"].to_pylist()) == expected
    assert queries.count_features(store, which) == len(expected)
    searched = FeatureFilter(region=region, words="galaxy label")
    found = {feature_id for feature_id in expected if feature_id % 8 == 0}
    rows = queries.features(store, searched, sort=queries.RELEVANCE, limit=None)
    assert set(rows["feature_id"].to_pylist()) >= found
    assert set(rows["feature_id"].to_pylist()) <= set(expected)


def test_a_matryoshka_has_its_prefixes_as_levels_instead(tmp_path: Path) -> None:
    store = open_store(region_run(tmp_path / "nested", prefixes=(5, 10, 20, 40)).generation)
    levels = queries.levels(store)
    assert [(level.key, level.name, level.n, level.first) for level in levels] == [
        ("first-5", "first 5 features", 5, 5),
        ("first-10", "first 10 features", 10, 10),
        ("first-20", "first 20 features", 20, 20),
        ("all", "all 40 features", 40, None),
    ]
    assert all(level.regions is None for level in levels)
    coverage = pq.read_table(store.generation.file(schema.NAME_COVERAGE)).to_pandas().query("method == 'ours'")
    fidelity = pq.read_table(store.generation.file(schema.FIDELITY)).to_pandas()
    fidelity = fidelity.query("method == 'ours' and predictor == 'resembles'")
    for level in levels:
        own = coverage.query("feature_id < @level.n")
        assert level.coverage == pytest.approx(own["n_holding"].sum() / own["n_strongest"].sum())
        assert level.auroc == pytest.approx(fidelity.query("feature_id < @level.n")["auroc"].mean())
        which = FeatureFilter(first=level.n)
        rows = queries.features(store, which, sort="feature_id", descending=False, limit=None)
        assert rows["feature_id"].to_pylist() == list(range(level.n))
    assert queries.count_features(store, FeatureFilter(first=10, dead=True)) == 1


def test_families_may_begin_with_one_of_the_first_features(tmp_path: Path) -> None:
    store = open_store(structure_run(tmp_path / "planted", planted()).generation)
    assert min(CHILDREN) > ROOT
    assert [queries.count_families(store, first=first) for first in (ROOT, ROOT + 1, N_FEATURES)] == [0, 1, 1]
    assert queries.families(store, first=ROOT).num_rows == 0
    assert queries.families(store, "label", first=ROOT + 1)["root_id"].to_pylist() == [ROOT]


def test_a_run_of_an_older_version_has_groups_without_fidelity(tmp_path: Path) -> None:
    store = open_store(region_run(tmp_path / "older", older=True).generation)
    assert [level.auroc for level in queries.levels(store)[:-1]] == [None] * 3
    rows = queries.groups(store, 1, sort="auroc")
    assert rows["auroc"].null_count == rows["ap"].null_count == rows.num_rows == 4
    assert rows["region_id"].to_pylist() == [0, 1, 2, 3]


@pytest.mark.parametrize("upto", ["summarise", "labels", schema.STAGES[-1]])
def test_a_run_without_regions_has_one_level(tmp_path: Path, upto: str) -> None:
    store = open_store(make_run(tmp_path / "run", upto=upto).generation)
    (level,) = queries.levels(store)
    assert (level.key, level.name, level.n, level.coverage) == ("all", "all 40 features", 40, None)
    assert queries.groups(store, 0).num_rows == 0


def test_coverage_of_features_is_told_for_those_with_a_name(store: Store, tables: dict[str, pd.DataFrame]) -> None:
    ours = tables["name_coverage"].query("method == 'ours'").set_index("feature_id")
    held = queries.held_names(store, [7, 5, 6, 0])
    assert held == [
        tuple(ours.loc[7, ["n_holding", "n_strongest"]]),
        None,
        None,
        tuple(ours.loc[0, ["n_holding", "n_strongest"]]),
    ]
