"""The pages where people read, against a run written with numpy: every number drawn is the one that numpy finds."""

from __future__ import annotations

import html
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import featurelib
from featurelib import ui
from featurelib.storage.runs import Run
from featurelib.ui.feature.header import FIRST
from featurelib.ui.kit.elements import number
from featurelib.ui.kit.lists import short
from featurelib.ui.search.finding import split_snippet
from featurelib.ui.texts.text_list import OPENING, ShownText, cut_text, text_html
from tests.support.numpy_run import DEAD, HOSTILE, N_FEATURES, N_TEXTS, NumpyRun, make_run, weights
from tests.support.page import Open, UseData, addresses, bodies, cards, lines, links, page_of, param, words

FEATURE = 20


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NumpyRun:
    return make_run(tmp_path_factory.mktemp("reading") / "small")


@pytest.fixture
def open_page(made: NumpyRun, use_data: UseData) -> Open:
    use_data(made.run.path.parent)
    return lambda file, /, **params: page_of(file, params)


def strongest(made: NumpyRun, feature_id: int) -> np.ndarray:
    """The texts on which a feature fires, strongest first, ties by id."""
    column = made.activations[:, feature_id]
    order = np.lexsort((np.arange(N_TEXTS), -column))
    return order[: np.count_nonzero(column)]


def shown_titles(app: AppTest) -> list[str]:
    matches = [re.search(r"<b><bdi>(title \d+)</bdi></b>", card) for card in cards(app)]
    return [match.group(1) for match in matches if match]


def test_a_feature_is_named_and_measured_as_numpy_finds_it(made: NumpyRun, open_page: Open) -> None:
    drawn = words(open_page("feature.py", run="small", feature=FEATURE))
    column = made.activations[:, FEATURE]
    fires = column[column > 0]
    assert made.labels[FEATURE] in drawn
    assert f"fires on {len(fires)} of {N_TEXTS} texts" in drawn
    assert f"maximum activation {number(float(fires.max()))}" in drawn
    assert number(float(fires.astype(float).mean())) in drawn
    assert number(float(weights()["threshold"][FEATURE])) in drawn


def test_the_top_texts_come_in_numpys_order_ten_at_a_time(made: NumpyRun, open_page: Open) -> None:
    ranked = strongest(made, FEATURE)
    first = open_page("feature.py", run="small", feature=FEATURE)
    assert shown_titles(first) == [f"title {i}" for i in ranked[:10]]
    second = open_page("feature.py", run="small", feature=FEATURE, page=2)
    assert shown_titles(second) == [f"title {i}" for i in ranked[10:20]]


def test_a_metadata_value_in_the_address_narrows_the_top_texts(made: NumpyRun, open_page: Open) -> None:
    ranked = [i for i in strongest(made, FEATURE) if i % 11 and i % 4 == 2]
    app = open_page("feature.py", run="small", feature=FEATURE, column="group", value="g2")
    assert shown_titles(app) == [f"title {i}" for i in ranked[:10]]
    assert f"g2 ({len(ranked)})" in app.selectbox(key="address value").options


def test_choosing_a_view_and_a_column_writes_the_address(open_page: Open) -> None:
    app = open_page("feature.py", run="small", feature=FEATURE)
    app.selectbox(key="address column").set_value("group").run()
    assert param(app, "column") == "group"
    app.segmented_control(key="address view").set_value("bands").run()
    assert not app.exception
    assert "Weakest quarter" in words(app)


def test_each_band_shows_texts_of_its_own_range(made: NumpyRun, open_page: Open) -> None:
    app = open_page("feature.py", run="small", feature=FEATURE, view="bands")
    ranked = made.activations[strongest(made, FEATURE), FEATURE]
    for quarter, name in zip(np.array_split(ranked, 4), ("Strongest", "Second", "Third", "Weakest"), strict=True):
        low, high = number(float(quarter.min())), number(float(quarter.max()))
        assert f"{name} quarter {low} to {high} · 3 of its {len(quarter)} texts" in words(app)


def test_other_features_active_in_a_text_are_links_without_the_feature_itself(made: NumpyRun, open_page: Open) -> None:
    app = open_page("feature.py", run="small", feature=FEATURE)
    best = strongest(made, FEATURE)[0]
    others = [
        f for f in np.argsort(-made.activations[best], kind="stable") if made.activations[best, f] > 0 and f != FEATURE
    ]
    beginning = links(app).index("open text")
    assert links(app)[beginning + 1 : beginning + 1 + len(others[:4])] == [made.labels[f] for f in others[:4]]
    assert f"run=small&feature={others[0]}" in addresses(app)


def test_neighbours_and_opposites_show_the_cosine_of_the_directions(made: NumpyRun, open_page: Open) -> None:
    app = open_page("feature.py", run="small", feature=FEATURE)
    cosines = weights()["W_dec"] @ weights()["W_dec"][FEATURE]
    cosines[FEATURE] = 0
    for other in (int(cosines.argmax()), int(cosines.argmin())):
        assert (made.labels[other], f"{cosines[other]:.2f}") in lines(app)


def test_a_feature_without_texts_says_so_and_still_has_neighbours(made: NumpyRun, open_page: Open) -> None:
    app = open_page("feature.py", run="small", feature=DEAD[0])
    assert "Dead: it fires on none" in words(app)
    assert "Nearest directions" in words(app)
    assert not shown_titles(app)


def test_before_and_after_lead_on_and_the_address_follows(open_page: Open) -> None:
    app = open_page("feature.py", run="small", feature=0)
    assert "1 ›" in links(app) and "‹ -1" not in links(app)
    app = open_page("feature.py", run="small", feature=N_FEATURES - 1)
    assert f"‹ {N_FEATURES - 2}" in links(app) and f"{N_FEATURES} ›" not in links(app)


def test_a_page_without_its_number_shows_the_first_there_is(made: NumpyRun, open_page: Open) -> None:
    first = int(np.flatnonzero((made.activations > 0).any(0))[0])
    assert f"small · feature {first}" in words(open_page("feature.py", run="small"))
    assert "small · text 0" in words(open_page("text.py", run="small"))


@pytest.mark.parametrize(
    ("page", "params", "said"),
    [
        ("feature.py", {"feature": "999"}, "there is no feature 999"),
        ("feature.py", {"feature": "-1"}, "a whole number is expected"),
        ("feature.py", {"feature": "٣"}, "a whole number is expected"),
        (
            "feature.py",
            {"feature": "7", "view": "x", "column": "../etc", "page": "0", "support": "NaN"},
            "column=../etc",
        ),
        ("feature.py", {"feature": "7", "column": "group", "value": "' or 1=1"}, "value=' or 1=1"),
        ("feature.py", {"feature": "999999999999"}, "there is no feature"),
        ("text.py", {"text": "abc"}, "a whole number is expected"),
        ("text.py", {"text": str(N_TEXTS)}, f"there is no text {N_TEXTS}"),
        ("search.py", {"q": '" ( -'}, "no letter or digit"),
        ("search.py", {"q": "galaxy", "by": "magic", "page": "x"}, "by=magic"),
    ],
)
def test_a_wrong_address_gets_a_sentence(page: str, params: dict[str, str], said: str, open_page: Open) -> None:
    assert said.casefold() in words(open_page(page, run="small", **params)).casefold()


def test_a_text_is_read_though_the_feature_of_its_address_is_unknown(made: NumpyRun, open_page: Open) -> None:
    said = words(open_page("text.py", run="small", text=4, feature=999))
    assert "there is no feature 999" in said.casefold() and made.texts["text"][4] in said


def test_a_wrong_choice_is_told_some_of_the_right_ones_and_not_hundreds(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "sort=x; max_activation, density" in words(open_page("features.py", run="small", sort="x"))
    monkeypatch.setattr(sys.modules["featurelib.ui.kit.address"], "MOST_NAMED", 2)
    said = words(open_page("feature.py", run="small", feature="20", view="x"))
    assert "The address says view=x; top, bands and 3 more are known, so top is shown." in said


def test_before_the_stage_that_names_features_none_is_said_to_have_no_keywords(
    use_data: UseData, tmp_path: Path
) -> None:
    make_run(tmp_path / "half", upto="keywords")
    use_data(tmp_path)
    said = words(page_of("feature.py", {"run": "half", "feature": "20"}))
    assert "No name yet" in said and "It has no keywords" not in said


def test_a_text_shows_all_its_features_with_their_activations(made: NumpyRun, open_page: Open) -> None:
    text_id = int((made.activations > 0).sum(1).argmax())
    app = open_page("text.py", run="small", text=text_id)
    row = made.activations[text_id]
    for f in np.flatnonzero(row):
        density = ui.density(float((made.activations[:, f] > 0).mean()))
        assert (made.labels[f], number(float(row[f])), density) in lines(app)
    assert made.texts["text"][text_id] in words(app)


def test_the_bars_of_a_text_follow_the_numbers_beside_them(made: NumpyRun, open_page: Open) -> None:
    text_id = int((made.activations > 0).sum(1).argmax())
    app = open_page("text.py", run="small", text=text_id)
    row = made.activations[text_id]
    order = [f for f in np.lexsort((np.arange(N_FEATURES), -row)) if row[f] > 0]
    drawn = [float(share) for body in bodies(app) for share in re.findall(r"--share:([\d.]+)%", body)]
    assert drawn == pytest.approx([100 * row[f] / row[order[0]] for f in order], abs=0.06)


def test_search_by_words_finds_what_holds_them_and_marks_them(made: NumpyRun, open_page: Open) -> None:
    app = open_page("search.py", run="small", q="number42")
    assert shown_titles(app) == ["title 42"]
    assert any("<mark><bdi>number42</bdi></mark>" in body for body in bodies(app))
    holds = made.texts["text"].str.contains(r"\bgalaxy\b", case=False).sum()
    assert f"{holds} of {N_TEXTS} contain these words" in words(open_page("search.py", run="small", q="galaxy"))


def test_search_shows_matching_features_above_the_texts(made: NumpyRun, open_page: Open) -> None:
    assert made.labels[13] in links(open_page("search.py", run="small", q="label13"))


def test_hostile_text_reaches_the_page_only_escaped(open_page: Open) -> None:
    app = open_page("text.py", run="small", text=5)
    assert HOSTILE in words(app)
    assert not any("<script" in body for body in bodies(app))


def test_links_are_html_and_never_markdown(open_page: Open) -> None:
    for file, params in (("search.py", {"q": "script"}), ("try.py", {}), ("overview.py", {}), ("feature.py", {})):
        app = open_page(file, run="small", **params)
        assert not app.get("page_link") and not app.get("markdown") and links(app)


def test_try_offers_texts_of_the_corpus_and_waits_for_one(made: NumpyRun, open_page: Open) -> None:
    app = open_page("try.py", run="small")
    assert ("title 0",) in lines(app) and (f"title {N_TEXTS // 4}",) in lines(app)
    assert "Features that fire" not in words(app)


def test_the_cut_stands_where_the_embedder_stopped() -> None:
    drawn = cut_text("read this. not this", 10)
    before, after = drawn.split("Truncated here")
    assert "read this." in before and "not this" not in before and "not this" in after
    assert "Truncated" not in cut_text("read it all", -1)


def test_a_long_text_opens_in_place_and_a_short_one_needs_not() -> None:
    long = ShownText(1, "word " * 200, "")
    assert "<details>" in text_html(long) and str(text_html(long)).count("word") > OPENING / 5
    assert "<details>" not in text_html(ShownText(1, "short", ""))
    assert text_html(ShownText(1, "A title. Then more", "A title")).count("A title") == 1


def test_a_marked_snippet_splits_into_title_and_rest() -> None:
    title, rest = split_snippet("a \ue000b\ue001 c. rest \ue000b\ue001", 7)
    assert (title, rest) == (
        "<span><bdi>a </bdi></span><mark><bdi>b</bdi></mark><span><bdi> c. </bdi></span>",
        "<span><bdi>rest </bdi></span><mark><bdi>b</bdi></mark>",
    )


def test_the_text_that_a_feature_fires_on_most_fires_it_when_typed(tiny: Run, open_tiny: Open) -> None:
    opened = featurelib.open(tiny.path)
    best = max(opened.features().to_dict("records"), key=lambda row: row["max_activation"])
    top = opened.top_texts(best["feature_id"]).to_dict("records")[0]
    app = open_tiny("feature.py", feature=best["feature_id"], test=top["text"])
    assert f"fires: {number(top['activation'])}, threshold" in words(app)
    other = opened.ask(
        """select text from texts where text_id not in
        (select text_id from activations_by_feature where feature_id = $feature_id) order by text_id limit 1""",
        feature_id=best["feature_id"],
    ).to_dict("records")[0]
    silent = open_tiny("feature.py", feature=best["feature_id"], test=other["text"])
    assert "does not fire: " in words(silent) and "is below the threshold" in words(silent)


def test_a_tried_text_of_the_corpus_turns_on_the_features_that_the_run_holds_for_it(tiny: Run, open_tiny: Open) -> None:
    opened = featurelib.open(tiny.path)
    text = opened.ask("select text from texts where text_id = 3").to_dict("records")[0]["text"]
    stored = opened.ask(
        """select label, activation from activations_by_text join labels using (feature_id)
        where text_id = 3 order by activation desc"""
    ).to_dict("records")
    shown = lines(open_tiny("try.py", t=text))
    assert len(stored) > 0
    assert [line[:2] for line in shown[: len(stored)]] == [(row["label"], number(row["activation"])) for row in stored]


def test_a_text_is_the_nearest_to_itself_by_meaning(tiny: Run, open_tiny: Open) -> None:
    text = featurelib.open(tiny.path).ask("select text, title from texts where text_id = 3").to_dict("records")[0]
    app = open_tiny("search.py", by="meaning", q=text["text"])
    assert text["title"] in cards(app)[0] and "1.00" in cards(app)[0]


def test_the_texts_near_a_text_are_those_of_its_stored_embedding(tiny: Run, open_tiny: Open) -> None:
    rows = featurelib.open(tiny.path).ask("select text_id, embedding::float[] as e from embeddings order by text_id")
    vectors = np.stack(rows["e"].to_list()).astype(float)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors @ vectors[3]
    cosines[3] = -2
    app = open_tiny("search.py", near=3)
    shown = [float(re.search(r"<bdi>(-?[\d.]+)</bdi>", card).group(1)) for card in cards(app)]
    assert shown == pytest.approx(sorted(cosines, reverse=True)[:10], abs=0.006)
    assert "nearest in meaning to" in words(app)
    assert "no embedding of a text 9999" in words(open_tiny("search.py", near=9999))


def test_a_label_is_shortened_between_its_words_and_never_to_nothing() -> None:
    assert short("graphs · subgraph · graphs eigengaps") == "graphs · subgraph"
    assert short("a" * 60 + " · b") == "a" * 60 and short("one") == "one"
    assert short("a · " + "b" * 30 + " · c") == "a"


def test_keywords_after_the_first_open_on_a_click(made: NumpyRun, open_page: Open) -> None:
    scores = made.keywords.query("feature_id == @FEATURE").sort_values("rank")
    drawn = next(body for body in bodies(open_page("feature.py", run="small", feature=FEATURE)) if "chips" in body)
    shown = [html.unescape(word) for word in re.findall(r'class="chip"><bdi>(.*?)</bdi>', drawn)]
    assert shown == scores["keyword"].tolist()
    assert ("<details>" in drawn) == (len(scores) > FIRST)
