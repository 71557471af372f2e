"""The pages that hold sets of texts against each other, beside numpy; and addresses that ask for what there is not."""

from __future__ import annotations

import numpy as np
import pytest

from featurelib.schema import Refusal
from featurelib.ui.slices.difference import chance, points
from featurelib.ui.slices.side import Side
from featurelib.ui.texts.id_list import LONGEST, read, written
from tests.support.numpy_run import N_TEXTS, NumpyRun, make_run
from tests.support.page import Open, UseData, bodies, page_of, table, words


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NumpyRun:
    return make_run(tmp_path_factory.mktemp("pages") / "small")


@pytest.fixture
def show(made: NumpyRun, use_data: UseData) -> Open:
    use_data(made.run.path.parent)
    return lambda file="columns.py", /, **params: page_of(file, params)


def test_the_values_of_a_column_lead_to_their_features(show: Open, made: NumpyRun) -> None:
    shown = table(show(column="group"))
    groups = made.texts["group"].value_counts()
    assert {row["value"]: int(row["texts"]) for row in shown.rows} == groups.to_dict()
    assert all("value=g" in address for address in shown.opens)


def test_one_value_shows_numpys_densities_and_opens_its_texts(show: Open, made: NumpyRun) -> None:
    shown = table(show(column="group", value="g1", show="all", sort="density_a"))
    groups, fires = made.texts["group"], made.activations > 0
    own, others = (groups == "g1").to_numpy(), (groups.notna() & (groups != "g1")).to_numpy()
    assert shown.numbers("with it") == sorted(shown.numbers("with it"), reverse=True) and len(shown.rows) == 25
    for row, feature_id in zip(shown.rows, shown.opened("feature"), strict=True):
        of_a, of_b = 100 * fires[own, feature_id].mean(), 100 * fires[others, feature_id].mean()
        assert (float(row["with it"][:-2]), float(row["with another"][:-2])) == pytest.approx((of_a, of_b), abs=5e-3)
        assert row["difference"].startswith(f"{of_a - of_b:+.1f} (")
    assert all("column=group&value=g1" in address for address in shown.opens)


def test_a_label_without_meaning_has_no_feature(show: Open) -> None:
    assert "No feature does." in words(show(column="year", value="2003"))


def test_a_number_has_bars_and_a_table(show: Open, made: NumpyRun) -> None:
    app = show(column="year", by="number", show="all")
    assert "300 different texts have a value" in words(app)
    assert len(table(app).rows) == 25


def test_slices_of_words_and_columns_against_the_rest(show: Open, made: NumpyRun) -> None:
    app = show("slices.py", a_column="group", a_value="g1", a_words="galaxy", show="all", sort="density_a")
    own = ((made.texts["group"] == "g1") & made.texts["text"].str.contains("galaxy")).to_numpy()
    assert f"{own.sum()} different texts in A {N_TEXTS - own.sum()} different texts in B" in words(app)
    shown = table(app)
    best = shown.opened("feature")[0]
    assert shown.numbers("in A")[0] == pytest.approx(100 * (made.activations[own] > 0)[:, best].mean(), abs=5e-3)
    strongest = np.flatnonzero(own)[np.argsort(-made.activations[own, best], kind="stable")][:4]
    cards = [body for body in bodies(app) if "read-texts-slice-a" in body]
    assert len(cards) == 1 and [f"text={text_id}&" in cards[0] for text_id in strongest] == [True] * 4


def test_a_slice_that_is_a_feature_shows_that_feature_first(show: Open, made: NumpyRun) -> None:
    listed = written(np.flatnonzero(made.activations[:, 8] > 0))
    shown = table(show("slices.py", a_texts=listed, sort="difference"))
    assert shown.opened("feature")[0] == 8 and shown.rows[0]["in A"] == "100.00 %" and shown.rows[0]["in B"] == "0.00 %"


def test_texts_in_both_slices_are_said(show: Open) -> None:
    said = words(show("slices.py", a_texts=written(range(60)), b_texts=written(range(40, 150)), show="all"))
    assert "20 texts are in both slices and are left out." in said
    assert "40 different texts in A 90 different texts in B" in said


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({}, "Choose what the texts of A have in common"),
        ({"a_words": "xyzzy"}, "slice A has 0 different texts"),
        ({"a_texts": written(range(N_TEXTS))}, "slice B has 0 different texts"),
        ({"a_texts": "5.!"}, "the address lists texts as 5.!"),
        ({"a_texts": written([4, N_TEXTS])}, "this run has the texts 0 to 299"),
        ({"a_column": "group", "a_value": "<b>"}, "is shown"),
        ({"a_column": "nowhere"}, "The address says a_column=nowhere"),
        ({"a_texts": "1." * 4_000}, "longer than 6,000 characters"),
        ({"a_texts": "zzzz.-zzz0"}, "the address lists texts as zzzz.-zzz0"),
        ({"a_texts": "zzzzzzzz.zzzzzzzz.zzzzzzzz"}, "this run has the texts 0 to 299"),
        ({"a_words": "galaxy", "feature": 99}, "there is no feature 99"),
    ],
)
def test_what_cannot_be_compared_is_a_sentence(show: Open, params: dict[str, object], said: str) -> None:
    assert said.lower() in words(show("slices.py", **params)).lower()


def test_lists_of_texts_go_into_an_address_and_back() -> None:
    draw = np.random.default_rng(0)
    ids = np.sort(draw.permutation(50_000)[:1_500]).tolist()
    assert read(written(reversed(ids))) == ids and len(written(ids)) < LONGEST
    assert read("") == [] and read(written([0, 0, 3])) == [0, 3]
    for wrong in ("a,b", "z" * 40, "-1.5", "5..3", "1_0", " 1", "٣"):
        with pytest.raises(Refusal):
            read(wrong)


def test_a_list_of_three_thousand_characters_is_read_whole(show: Open, made: NumpyRun) -> None:
    listed = ".".join(["1"] * 298 + ["0"] * 1_300)
    assert 3_000 < len(listed) < LONGEST
    assert "298 different texts in A 2 different texts in B" in words(show("slices.py", a_texts=listed))


def test_a_slice_in_words() -> None:
    assert Side("a", "year", "2018", "quantum").title == "year 2018, with “quantum”"
    assert Side("b").title == "the rest" and Side("b").is_empty
    assert Side("a", listed=written(range(1_200))).title == "1,200 listed texts"


def test_numbers_in_words() -> None:
    assert [chance(rate) for rate in (1e-9, 0.0042, 0.05, 1.0)] == ["< 0.0001", "0.0042", "0.05", "1.00"]
    assert points(-0.0312) == "-3.1"


def test_a_concept_that_is_a_feature_is_carried_by_it(show: Open, made: NumpyRun) -> None:
    app = show("concept.py", a_texts=written(np.flatnonzero(made.activations[:, 8] > 0)))
    assert "One feature carries it." in words(app)
    assert "1.000 1.000 to 1.000 F1" in words(app) and "feature=8" in "".join(bodies(app))


def test_lines_that_are_texts_of_the_corpus_are_taken_from_there(show: Open, made: NumpyRun) -> None:
    """No worker is asked, and none of them stays among the other texts."""
    texts = made.texts["text"]
    plain = [
        text_id
        for text_id in np.flatnonzero(made.activations[:, 8] > 0).tolist()
        if texts[text_id].isprintable() and (texts == texts[text_id]).sum() == 1
    ][:20]
    said = words(show("concept.py", t="\n".join(f" {texts[text_id]} " for text_id in plain)))
    assert "20 of your lines are texts of the corpus; they were taken from there." in said
    n_different = len(set(texts))
    assert f"10 other examples and {(n_different - 20) // 2} other texts" in said


def test_a_concept_that_is_nowhere_is_said_to_be_carried_by_nothing(show: Open) -> None:
    said = words(show("concept.py", a_column="group", a_value="g1"))
    assert "No feature carries it" in said or "Not sure" in said and "carries it." not in said


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({}, "Paste eight examples or more"),
        ({"a_texts": written(range(4))}, "4 examples are given; 8 or more are needed"),
        ({"a_words": "xyzzy"}, "0 examples are given"),
        ({"a_texts": written(range(40)), "b_texts": written(range(43))}, "3 other texts are given"),
    ],
)
def test_a_concept_needs_examples_and_others(show: Open, params: dict[str, object], said: str) -> None:
    assert said in words(show("concept.py", **params))
