"""The page of the audit, flags as chips, near misses and drawn texts, against a run written with numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from streamlit.testing.v1 import AppTest

from featurelib import queries, ui
from featurelib.audit import checks
from featurelib.schema import AUDIT, COPIES, NEAR_MISSES, Refusal
from featurelib.storage import files
from featurelib.storage.runs import Done
from featurelib.storage.store import open_store
from featurelib.ui.feature import flags, samples, top_texts
from featurelib.ui.feature.drawing import Drawing
from featurelib.ui.kit.session import Opened
from precompute.stages.near_misses import find_near_misses
from tests.support.numpy_run import DEAD, N_FEATURES, NumpyRun, QuietJob, make_run
from tests.support.page import UseData, bodies, page_of, param, table, words

HOSTILE = "![x](http://evil/x.png) <img src=x onerror=alert(1)> **bold** \u202e"
FACTS = {
    "thresholds": checks.THRESHOLDS | {"cosine": 0.98, "same_words": 0.7},
    "unit": "tokens",
    "language_column": "lang<b>",
    "sampled": 200,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NumpyRun:
    truth = make_run(tmp_path_factory.mktemp("audited") / "small")
    generation = truth.generation
    (generation.path / "manifest.json").unlink()
    rows = [
        (4, "length", 0.9, 0.85, 0.94, 0.5, 60, True, "median 40 tokens, 9 in the corpus"),
        (4, "boilerplate", 0.8, 0.7, 0.9, 0.1, 40, True, HOSTILE),
        (4, "copies", 0.0, 0.0, 0.1, 0.0, 60, False, ""),
        (7, "length", 0.45, 0.4, 0.5, 0.5, 60, False, ""),
        (8, "boilerplate", 0.4, 0.3, 0.5, 0.1, 40, True, "a footer"),
        (3, "length", None, None, None, 0.5, 0, False, ""),
    ]
    table = pd.DataFrame(rows, columns=AUDIT.schema.names)
    files.write_parquet(generation.file(AUDIT), pa.Table.from_pandas(table, schema=AUDIT.schema), AUDIT.schema)
    copies = pa.table([[100, 200], [100, 100], [1, 1], [True, True]], schema=COPIES.schema)
    files.write_parquet(generation.file(COPIES), copies, COPIES.schema)
    generation.mark_done("audit", Done("audit", FACTS, "", {}))
    near_misses = find_near_misses(QuietJob(generation))
    generation.mark_done("near_misses", Done("near_misses", near_misses.facts, near_misses.line, {}))
    return truth


@pytest.fixture
def folder(made: NumpyRun, use_data: UseData) -> None:
    use_data(made.run.path.parent)


@pytest.mark.usefixtures("folder")
def test_the_page_lists_the_flags_and_says_what_each_check_is() -> None:
    app = page_of("audit.py", {})
    shown = table(app)
    assert shown.opened("feature") == [4, 4, 8]
    assert [row["check"] for row in shown.rows] == ["boilerplate", "length", "boilerplate"]
    assert shown.rows[0]["detail"] == HOSTILE
    said = words(app)
    assert "3 flags, largest deviation first" in said and "1 length · of 2" in said and "2 boilerplate · of 2" in said
    assert "flagged from 0.85 on, or up to 0.15" in said and "Bonferroni" in said
    assert "flagged from 30 % on, 20 points above" in said and "0 copies · of 1" in said


@pytest.mark.usefixtures("folder")
def test_the_address_chooses_a_check_and_all_features() -> None:
    lengths = page_of("audit.py", {"check": "length"})
    assert table(lengths).opened("feature") == [4]
    every = page_of("audit.py", {"check": "length", "every": "yes"})
    assert table(every).opened("feature") == [4, 7] and "2 measurements" in words(every)
    none = page_of("audit.py", {"check": "copies"})
    assert "<table>" not in "".join(bodies(none)) and "No feature is flagged by copies." in words(none)
    odd = page_of("audit.py", {"check": "<b>x"})
    assert "all, length, boilerplate, copies are known" in words(odd) and len(table(odd).rows) == 3


@pytest.mark.parametrize("sort", queries.AUDIT_SORTS[1:])
def test_the_audit_is_sorted_by_each_column_both_ways_with_missing_values_last(made: NumpyRun, sort: str) -> None:
    store = open_store(made.generation)
    truth = pq.read_table(made.generation.file(AUDIT)).to_pandas().query("value == value")
    labels = queries.labels(store, truth["feature_id"])
    truth["label"] = truth["feature_id"].map(labels)
    wanted = sorted(truth[sort].tolist(), key=lambda value: value.encode() if isinstance(value, str) else value)
    for descending in (False, True):
        rows = queries.audit_rows(store, flagged=False, sort=sort, descending=descending)
        assert rows[sort].to_pylist() == (wanted[::-1] if descending else wanted)


def test_the_audit_is_sorted_by_its_columns_alone(made: NumpyRun) -> None:
    with pytest.raises(Refusal, match="the audit cannot be sorted by 'value; drop view texts'"):
        queries.audit_rows(open_store(made.generation), sort="value; drop view texts")


@pytest.mark.usefixtures("folder")
def test_the_page_of_features_is_narrowed_by_a_flag() -> None:
    assert table(page_of("features.py", {"flag": "length"})).opened("feature") == [4]
    flagged = page_of("features.py", {"flag": "any", "sort": "feature_id", "order": "rising"})
    assert table(flagged).opened("feature") == [4, 8]
    assert "No feature matches" in words(page_of("features.py", {"flag": "copies"}))


def test_a_run_without_an_audit_says_so(tmp_path: Path, use_data: UseData) -> None:
    make_run(tmp_path / "early", upto="keywords")
    use_data(tmp_path)
    assert "has no audit yet: its stage 'audit' is not done" in words(page_of("audit.py", {}))
    assert len(table(page_of("features.py", {})).rows) == N_FEATURES


def feature_page(monkeypatch: pytest.MonkeyPatch, draw, feature_id: int, **params: object) -> AppTest:
    """The page of a feature with `draw` in the place of its texts, their words plain."""

    def texts(opened: Opened, feature: queries.Feature, _columns: object) -> Drawing:
        drawing = Drawing(opened, feature, colours=False)
        draw(drawing)
        return drawing

    monkeypatch.setattr(top_texts, "texts", texts)
    return page_of("feature.py", {"feature": feature_id, **params})


@pytest.mark.usefixtures("folder")
def test_near_misses_are_shown_with_their_threshold(made: NumpyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pq.read_table(made.generation.file(NEAR_MISSES)).to_pandas()
    app = feature_page(monkeypatch, samples.near_misses, 4)
    own = rows[rows["feature_id"] == 4]
    said = words(app)
    assert f"threshold {ui.number(own['needed'].iloc[0], 4)}" in said and "fires instead:" in said
    for row in own.itertuples():
        assert ui.number(row.pre_activation) in said
    n_copies = rows[rows["text_id"].isin([100, 200])].groupby("feature_id").size()
    assert (n_copies == 2).any()
    both = feature_page(monkeypatch, samples.near_misses, int(n_copies.idxmax()))
    assert "shown for 1 more copy among these texts" in words(both)


def test_a_dead_feature_says_how_far_it_is_from_its_threshold(made: NumpyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(made.generation)
    nearest = queries.near_misses(store, DEAD[0]).to_pylist()[0]
    sentence = samples._how_near(store, queries.feature(store, DEAD[0]), nearest)
    reached = ui.percent(nearest["pre_activation"] / nearest["needed"])
    assert sentence.startswith(f"Its nearest text reaches {reached} of the threshold, so it stays far below")
    close = nearest | {"pre_activation": 0.95 * nearest["needed"]}
    between = nearest | {"pre_activation": 0.6 * nearest["needed"]}
    assert "so it stays below." in samples._how_near(store, queries.feature(store, DEAD[0]), between)
    assert "so it nearly fires" in samples._how_near(store, queries.feature(store, DEAD[0]), close)
    assert samples._how_near(store, queries.feature(store, 4), nearest).startswith("Texts on which")


@pytest.mark.usefixtures("folder")
def test_drawn_texts_and_another_draw(made: NumpyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(made.generation)
    app = feature_page(monkeypatch, samples.random_texts, 4)
    n_active = int((made.activations[:, 4] > 0).sum())
    assert f"10 of {n_active} texts on which it fires, drawn at random" in words(app)
    for text in queries.random_texts(store, 4, limit=10)["text"].to_pylist():
        assert text.split()[-1] in words(app)
    app.button(key="draw others").click().run()
    assert not app.exception and param(app, "draw") == "1"
    assert queries.random_texts(store, 4, limit=10, seed=1)["text"][0].as_py().split()[-1] in words(app)


@pytest.mark.usefixtures("folder")
def test_flags_are_chips_that_escape_what_was_found(made: NumpyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(made.generation)

    def draw(drawing: Drawing) -> None:
        flags.flags(queries.feature_audit(store, drawing.feature.feature_id).to_pylist())

    app = feature_page(monkeypatch, draw, 4)
    body = next(body for body in " ".join(bodies(app)).split('<div class="fb">') if "audit-flags" in body)
    assert body.count("chip term") == 2 and "<img" not in body and "&lt;img" in body
    assert "AUROC of length 0.900 (95 %: 0.850 to 0.940), expected 0.500; 60 texts" in body
    assert "audit-flags" not in " ".join(bodies(feature_page(monkeypatch, draw, 7)))
    assert np.isclose(
        0.8, store.ask("select max(value) as v from audit where \"check\" = 'boilerplate'")["v"][0].as_py()
    )
