"""The feature page and the page of a text on the complete tiny run: words coloured by what is stored, all the views."""

from __future__ import annotations

import re
import time

import pandas as pd
import pyarrow.parquet as pq
import pytest

from featurelib import ui
from featurelib.live.client import Live
from featurelib.schema import ATTRIBUTIONS, NEAR_MISSES, TEXT_WORDS, TEXTS, TOP_TEXT_ROWS, Refusal
from featurelib.storage.runs import Run
from featurelib.ui.texts import word_colours
from featurelib.ui.texts.highlight import FAINT, signed
from tests.support.page import Open, addresses, bodies, cards, links, text_of, words

WORD = re.compile(r"<i class=(?:up|down) style=--p:\d+ data-add=([^ >]+)>(.*?)</i>")


def table(run: Run, which: object) -> pd.DataFrame:
    return pq.read_table(run.current().file(which)).to_pandas()


def expected_words(run: Run, feature_id: int, text_id: int) -> list[tuple[str, str]]:
    """The words of a text that are coloured, each with its part, from the tables."""
    text = table(run, TEXTS).set_index("text_id").loc[text_id, "text"]
    places = table(run, TEXT_WORDS).set_index("text_id").loc[text_id]
    rows = table(run, ATTRIBUTIONS).set_index(["feature_id", "text_id"])
    parts = rows.loc[(feature_id, text_id), "parts"]
    drawn = zip(places["starts"], places["ends"], parts, strict=True)
    return [(signed(part), text[a:b]) for a, b, part in drawn if abs(part) >= FAINT * abs(parts).max()]


def strongest_text(run: Run, feature_id: int) -> int:
    rows = table(run, TOP_TEXT_ROWS)
    return int(rows[(rows["feature_id"] == feature_id) & (rows["rank"] == 1)]["text_id"].iloc[0])


def live_feature(run: Run) -> int:
    return int(table(run, TOP_TEXT_ROWS)["feature_id"].value_counts().index[0])


def test_the_words_of_a_top_text_are_coloured_by_the_stored_parts(open_tiny: Open, tiny: Run) -> None:
    feature_id = live_feature(tiny)
    app = open_tiny("feature.py", feature=feature_id)
    assert not app.exception
    card = next(card for card in cards(app) if 'class="words"' in card)
    whole = card.split("</summary>")[1]
    coloured = [(part, text_of(word)) for part, word in WORD.findall(whole)]
    assert coloured == expected_words(tiny, feature_id, strongest_text(tiny, feature_id)) != []
    plain = open_tiny("feature.py", feature=feature_id, plain="yes")
    assert not any('class="words"' in body for body in bodies(plain)) and not plain.exception


def test_the_views_show_near_misses_and_random_texts(open_tiny: Open, tiny: Run) -> None:
    feature_id = live_feature(tiny)
    missed = table(tiny, NEAR_MISSES)
    nearest = missed[missed["feature_id"] == feature_id].sort_values("rank").iloc[0]
    said = words(open_tiny("feature.py", feature=feature_id, view="near"))
    assert ui.number(nearest["pre_activation"]) in said and f"threshold {ui.number(nearest['needed'], 4)}" in said
    drawn = open_tiny("feature.py", feature=feature_id, view="random")
    assert "drawn at random, strongest first" in words(drawn) and not drawn.exception


def test_the_words_of_every_view_are_coloured_by_what_the_worker_says(open_tiny: Open, tiny: Run, live: Live) -> None:
    feature_id = live_feature(tiny)
    stored_texts = table(tiny, ATTRIBUTIONS).query("feature_id == @feature_id")["text_id"].tolist()
    texts = table(tiny, TEXTS).set_index("text_id")["text"]
    for view in ("bands", "random", "near"):
        app = open_tiny("feature.py", feature=feature_id, view=view)
        assert len(cards(app)) >= 5 and all('class="words"' in card for card in cards(app))
        ids = [int(re.search(r"text=(\d+)", query)[1]) for query in addresses(app, "text") if "text=" in query]
        others = [text_id for text_id in dict.fromkeys(ids) if text_id not in stored_texts]
        assert others
        said = live.attributions_of(tiny.current().path, [texts[text_id] for text_id in others[:2]], feature_id)
        for text_id, attribution in zip(others[:2], said, strict=True):
            largest = max(abs(attribution.by_word))
            wanted = [
                (signed(part), texts[text_id][start:end])
                for start, end, part in zip(attribution.starts, attribution.ends, attribution.by_word, strict=True)
                if abs(part) >= FAINT * largest
            ]
            shown = [
                [(part, text_of(word)) for part, word in WORD.findall(card.split("</summary>")[1])]
                for card in cards(app)
            ]
            assert wanted in shown


def test_a_worker_in_trouble_is_a_sentence_is_asked_again_and_hides_no_stored_colours(
    open_tiny: Open, tiny: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    feature_id = live_feature(tiny)
    asked: list[int] = []

    def trouble(_live: Live, _generation: object, texts: list[str], _feature_id: int) -> None:
        asked.append(len(texts))
        raise Refusal("too many texts are being tried at once; try again in a minute.")

    word_colours._answers.clear()
    with monkeypatch.context() as patched:
        patched.setattr(Live, "attributions_of", trouble)
        app = open_tiny("feature.py", feature=feature_id, view="random")
        assert "Some words are not coloured: too many texts are being tried at once" in words(app)
        app.run()
        assert len(asked) == 1 and asked[0] <= word_colours.AT_ONCE, "for a minute it is not asked again"
        assert any('class="words"' in body for body in bodies(open_tiny("feature.py", feature=feature_id)))
    monkeypatch.setattr(word_colours, "REFUSED_SECONDS", 0.0)
    later = time.monotonic() + 61
    monkeypatch.setattr(word_colours.time, "monotonic", lambda: later)
    app = open_tiny("feature.py", feature=feature_id, view="random")
    cards = [body for body in bodies(app) if 'class="card' in body]
    assert all('class="words"' in card for card in cards) and "not coloured" not in words(app)


def test_the_page_of_a_text_takes_one_feature_apart(open_tiny: Open, tiny: Run) -> None:
    feature_id = live_feature(tiny)
    text_id = strongest_text(tiny, feature_id)
    app = open_tiny("text.py", text=text_id, feature=feature_id)
    assert not app.exception
    card = next(body for body in bodies(app) if 'class="words"' in body)
    coloured = [(part, text_of(word)) for part, word in WORD.findall(card)]
    wanted = expected_words(tiny, feature_id, text_id)
    assert [word for _, word in coloured] == [word for _, word in wanted]
    assert "= pre-activation" in words(app) and "special tokens" in words(app)


def test_a_feature_that_is_not_there_is_a_sentence_on_the_page_of_a_text(open_tiny: Open) -> None:
    app = open_tiny("text.py", text=3, feature=99_999)
    assert not app.exception and "there is no feature 99999" in words(app).replace("There", "there")
    assert "Features that fire" in words(app)


def test_the_share_of_a_value_has_its_interval(open_tiny: Open, tiny: Run) -> None:
    app = open_tiny("feature.py", feature=live_feature(tiny))
    assert any(re.search(r"\d+ % \\?\(\d+–\d+\\?\)", label) for label in links(app))
