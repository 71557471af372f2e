"""In a token run the words that carry a feature are those on whose tokens it fires: from planted tables, by hand."""

from __future__ import annotations

from typing import Any

import duckdb
import numpy as np
import pandas as pd

from featurelib.llm.marked_words import mark_words, right_words
from featurelib.llm.sampling import ChosenTexts
from precompute.stages.explanations.markers import TokenMarker
from precompute.stages.explanations.material import AROUND_TOKEN, materials

LONG = "one two three four five six seven eight nine ten " * 40
TEXTS = ["the bright star shines on the galaxies tonight", LONG + "a starlit night " + LONG, LONG]
TOKENS = [
    (0, ["the", " bright", " star", " shines", " on", " the", " gala", "xies", " tonight"]),
    (1, [LONG, "a", " star", "lit", " night", " " + LONG]),
    (2, [LONG]),
]
FIRES = [(0, 2, 4.0), (0, 6, 1.0), (0, 7, 3.0), (0, 3, 0.5), (1, 2, 0.5), (1, 3, 2.0)]


class Planted:
    """A store with planted tables."""

    def __init__(self) -> None:
        rows = []
        for text_id, tokens in TOKENS:
            ends = np.cumsum([len(token) for token in tokens])
            rows += [(text_id, n, ends[n] - len(token), ends[n]) for n, token in enumerate(tokens)]
        self._con = duckdb.connect()
        fires = [(text_id, position, 7, activation) for text_id, position, activation in FIRES] + [(0, 1, 8, 9.0)]
        frames = {
            "tokens": pd.DataFrame(rows, columns=["text_id", "position", "start", "end"]),
            "token_activations_by_feature": pd.DataFrame(
                fires, columns=["text_id", "position", "feature_id", "activation"]
            ),
            "texts": pd.DataFrame({"text_id": range(3), "text": TEXTS}),
            "text_summaries": pd.DataFrame({"text_id": range(3), "cut": [-1, -1, -1]}),
        }
        for name, frame in frames.items():
            self._con.register(name, frame)

    def ask(self, sql: str, **values: Any) -> Any:
        return self._con.execute(sql, values).to_arrow_table()


def test_a_word_has_the_largest_activation_of_its_tokens() -> None:
    words = TokenMarker(Planted()).words({0: TEXTS[0], 2: TEXTS[2]}, 7)
    spans = zip(words[0].starts, words[0].ends, words[0].attributions, strict=True)
    found = {TEXTS[0][start:end]: float(value) for start, end, value in spans if value}
    assert found == {"star": 4.0, "shines": 0.5, "galaxies": 3.0}
    assert not words[2].attributions.any()
    marked = mark_words(TEXTS[0], words[0], right_words(words[0]))
    assert marked.text == "the bright «star» shines on the «galaxies» tonight"


def test_texts_are_shown_around_their_strongest_token_with_marks_only_where_they_explain() -> None:
    choice = ChosenTexts(7, ((0, 10), (1, 5)), (2,), (1,), (2,))
    store = Planted()
    (material,) = materials(store, [choice], TokenMarker(store), 0)
    assert material.marked and "«star»" in material.fires_on[0].shown.text
    assert "a «starlit» night" in material.fires_on[1].shown.text
    assert len(material.fires_on[1].shown.text) <= AROUND_TOKEN + 2
    (fires, yes), (silent, no) = material.detection
    assert yes and not no and "a starlit night" in fires.text and "«" not in fires.text
    assert abs(len(silent.text) - len(fires.text)) < 50, "their length does not tell them apart"
