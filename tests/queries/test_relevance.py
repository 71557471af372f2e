"""Features found by words: in the name before in the keywords, exact before beginning before inside, then fidelity."""

from __future__ import annotations

import re

import pyarrow.parquet as pq

from featurelib import queries
from featurelib.queries.relevance import ranked
from featurelib.schema import FEATURES, FIDELITY, KEYWORDS, LABELS
from featurelib.storage.runs import Run
from featurelib.storage.store import open_store
from tests.support import page
from tests.support.page import Open


def expected_order(tiny: Run, word: str) -> tuple[list[int], int]:
    """The order of features for a word, from the tables."""
    generation = tiny.current()
    labels = {row["feature_id"]: row["label"] for row in pq.read_table(generation.file(LABELS)).to_pylist()}
    density = pq.read_table(generation.file(FEATURES))["density"].to_pylist()
    keywords: dict[int, str] = dict.fromkeys(labels, "")
    for row in pq.read_table(generation.file(KEYWORDS)).to_pylist():
        keywords[row["feature_id"]] += f" {row['keyword'].lower()}"
    auroc = dict.fromkeys(labels, -1.0)
    for row in pq.read_table(generation.file(FIDELITY)).to_pylist():
        if (row["method"], row["predictor"]) == ("ours", "resembles") and row["auroc"] is not None:
            auroc[row["feature_id"]] = row["auroc"]
    rows = []
    for feature_id, label in labels.items():
        for first, text in ((0, label.lower()), (3, f"{label.lower()} {keywords[feature_id]}")):
            found = re.findall(r"\w+", text)
            step = 0 if word in found else 1 if any(w.startswith(word) for w in found) else 2 if word in text else None
            if step is not None:
                rows.append(
                    (found != [word] or first > 0, first + step, -auroc[feature_id], -density[feature_id], feature_id)
                )
                break
    return [row[-1] for row in sorted(rows)], sum(row[1] < 3 for row in rows)


def test_words_find_names_before_keywords_everywhere(tiny: Run) -> None:
    store = open_store(tiny.current())
    words = {word for label in queries.features(store, limit=None)["label"].to_pylist() for word in label.split(" · ")}
    some = sorted({word[:length].lower() for word in words if " " not in word for length in (3, 4, 20)})
    mixed = 0
    for word in some[:40]:
        ids, n_in_name = expected_order(tiny, word)
        assert ranked(store, word) == (ids, n_in_name)
        assert queries.find_features(store, word, limit=100)["feature_id"].to_pylist() == ids
        which = queries.FeatureFilter(words=word)
        by_relevance = queries.features(store, which, sort=queries.RELEVANCE, limit=3, offset=1)
        assert by_relevance["feature_id"].to_pylist() == ids[1:4]
        mixed += 0 < n_in_name < len(ids)
    assert mixed > 5


def test_the_id_that_is_typed_comes_first(tiny: Run) -> None:
    assert ranked(open_store(tiny.current()), "12").feature_ids[0] == 12
    assert ranked(open_store(tiny.current()), "  ").feature_ids == []


def test_the_table_and_the_map_say_how_many_have_the_words_in_their_name(open_tiny: Open, tiny: Run) -> None:
    store = open_store(tiny.current())
    counts = {word: ranked(store, word) for word in ("star", "cell", "market", "galaxy", "protein", "price")}
    word = max(counts, key=lambda word: len(counts[word].feature_ids))
    found = counts[word]
    assert found.feature_ids
    n_others = len(found.feature_ids) - found.n_in_name
    said = page.words(open_tiny("features.py", q=word))
    assert f"in the name ({found.n_in_name}) · only in keywords ({n_others})" in said
    shown = page.table(open_tiny("features.py", q=word))
    assert [int(row["id"]) for row in shown.rows] == found.feature_ids[:50]
    for row in shown.rows:
        holds = [word in keyword.lower() for keyword in row["keywords"].rstrip("…").split(", ")]
        assert holds == sorted(holds, reverse=True)
    assert any(word in row["keywords"].split(", ")[0] for row in shown.rows[found.n_in_name :])
    on_map = page.words(open_tiny("map.py", q=word))
    assert f"{found.n_in_name} in the name; these first" in on_map


def test_of_several_words_the_more_stand_in_the_name_the_earlier(tiny: Run) -> None:
    store = open_store(tiny.current())
    rows = queries.features(store, limit=None).to_pylist()
    names = {row["feature_id"]: row["label"].lower() for row in rows}
    n_seen = 0
    for row in rows:
        keywords = [keyword for keyword in (row["keywords"] or "").split(", ") if keyword and " " not in keyword]
        typed = " ".join(keywords[:2])
        in_name = [sum(word in names[found] for word in typed.split()) for found in ranked(store, typed).feature_ids]
        assert in_name == sorted(in_name, reverse=True)
        n_seen += len(set(in_name)) > 1
    assert n_seen > 3
