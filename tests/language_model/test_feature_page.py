"""The page of a feature of a token run, and of a typed text: tokens coloured, counted and escaped, against numpy."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from featurelib import schema
from featurelib.ui.texts import highlight
from tests.support.causal_models import HOSTILE
from tests.support.page import bodies, page_of, words

TOKEN = re.compile(r"<i class=up style=--p:\d+ data-add=([^>]*)>(.*?)</i>")


@pytest.fixture(scope="module")
def fired(token_run):
    """Every token on which a feature fires, with where it stands in its text."""
    generation = token_run.current()
    rows, tokens = (
        pd.concat([pq.read_table(part).to_pandas() for part in generation.parts(table)])
        for table in (schema.TOKEN_BY_TEXT, schema.TOKENS)
    )
    texts = pq.read_table(generation.file(schema.TEXTS)).to_pandas()[["text_id", "text"]]
    return rows.merge(tokens, on=["text_id", "position"]).merge(texts, on="text_id")


def test_tokens_that_share_a_character_are_one_with_the_largest_value():
    starts, ends = np.array([2, 2, 6, 7, 9]), np.array([3, 3, 8, 8, 10])
    merged = highlight.apart(starts, ends, np.array([0.5, 5.0, 1.0, 0.2, 3.0]))
    assert [column.tolist() for column in merged] == [[2, 6, 9], [3, 8, 10], [5.0, 1.0, 3.0]]
    coloured = highlight.coloured_text("a ∈ b ℝ c", *merged)
    assert "data-add=+5.00" in highlight.whole(coloured) or "data-add=+5" in highlight.whole(coloured)


@pytest.fixture
def feature_page(token_folder, use_data):
    use_data(token_folder / "data")
    return lambda feature_id, **params: page_of("feature.py", {"run": "tokens", "feature": feature_id, **params})


@pytest.mark.parametrize("feature_id", range(0, 40, 8))
def test_the_tokens_of_a_feature_are_counted_and_coloured(feature_page, fired, feature_id):
    own = fired[fired.feature_id == feature_id]
    if own.empty:
        pytest.skip("a dead feature")
    page = feature_page(feature_id)
    shown = words(page)
    assert f"fires on {len(own):,} of" in shown
    top = own.groupby("text_id").activation.max().nlargest(10)
    html = "".join(bodies(page))
    coloured = TOKEN.findall(html)
    strongest = own[own.text_id == top.index[0]]
    values = [float(value.replace("−", "-")) for value, _ in coloured]
    for activation in strongest.activation:
        faint = activation < 0.02 * strongest.activation.max()
        assert faint or min(abs(np.array(values) - activation)) < 0.02 * activation
    counted = own.groupby(own.apply(lambda row: row.text[row.start : row.end], axis=1)).size()
    often = counted.sort_values(ascending=False).index[0]
    assert often.replace("<", "&lt;").replace(">", "&gt;") in html
    assert "fires here" in shown and "What each word adds" not in shown


def test_a_hostile_token_stays_text(feature_page, fired):
    hostile = fired[fired.apply(lambda row: row.text[row.start : row.end] == HOSTILE, axis=1)]
    feature_id = int(hostile.groupby("feature_id").activation.max().idxmax())
    html = "".join(bodies(feature_page(feature_id)))
    assert HOSTILE not in html and "&lt;img/src=x&gt;" in html


def test_bands_are_of_tokens(feature_page, fired):
    feature_id = int(fired.feature_id.value_counts().index[0])
    n = len(fired[fired.feature_id == feature_id])
    shown = words(feature_page(feature_id, view="bands"))
    assert re.search(rf"3 of its {round(n / 4):,} tokens, drawn at random", shown)


def test_tokens_by_strength(feature_page, fired):
    feature_id = int(fired.feature_id.value_counts().index[0])
    own = fired[fired.feature_id == feature_id]
    names = own.apply(lambda row: row.text[row.start : row.end], axis=1)
    means = own.groupby(names).activation.agg(["mean", "size"])
    best = means[means["size"] > 1]["mean"].idxmax()
    html = "".join(bodies(feature_page(feature_id, tokens="strong")))
    listed = re.findall(r'<span class="label">(.*?)</span>', html.split("read-lines-tokens")[1])
    assert re.sub("<[^>]+>", "", listed[0]).strip("␣") == best.replace("<", "&lt;").replace(">", "&gt;")


def test_a_typed_text_has_its_tokens_coloured(token_folder, use_data, live, fired):
    use_data(token_folder / "data")
    text = fired.text.iloc[0]
    page = page_of("try.py", {"run": "tokens", "t": text})
    shown = words(page)
    assert "Activation on each token" in shown and "rounding of the stored embedding" not in shown


def test_steering_says_where_features_of_tokens_are_changed(token_folder, use_data, live, fired):
    use_data(token_folder / "data")
    assert "Intervene" in words(page_of("steer.py", {"run": "tokens", "t": fired.text.iloc[0]}))
