"""The pages of a run with 414 metadata columns: 30 of them at a time, and a way to every other one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from featurelib import queries
from featurelib.ui.kit import session
from tests.storage.test_time_limits import ENDLESS
from tests.support.numpy_run import N_TEXTS, NumpyRun
from tests.support.page import UseData, bodies, page_of, param, text_of, words
from tests.support.wide_run import EMPTY, EVEN, RARE, SKEWED, UNIQUE, make_wide_run

FEATURE = 1
OpenWide = Callable[..., AppTest]


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> tuple[NumpyRun, pd.DataFrame]:
    return make_wide_run(tmp_path_factory.mktemp("wide pages") / "wide")


@pytest.fixture
def open_wide(wide: tuple[NumpyRun, pd.DataFrame], use_data: UseData) -> OpenWide:
    use_data(wide[0].run.path.parent)
    return lambda file, /, **params: page_of(file, {"run": "wide", **params})


def facts(app: AppTest) -> list[str]:
    """The names of the facts about a text, in their order."""
    [table] = [body for body in bodies(app) if 'class="facts"' in body]
    return [text_of(fact.split("</span>")[0]) for fact in table.split('<div class="fact">')[1:]]


def test_a_text_shows_its_first_thirty_filled_columns_and_how_many_there_are(open_wide: OpenWide) -> None:
    app = open_wide("text.py", text=14)
    shown = facts(app)
    own = ["group", "year", "labels", "rank", "low", "band"]
    assert shown[:8] == ["id in the source", "row of the source", *own] and shown[-1] == "in the SAE's training"
    assert len(shown) == 30 + 3 and set(SKEWED[:15]) <= set(shown) and not set(shown) & {*UNIQUE, *RARE, *EVEN}
    assert "30 of 413 columns, the first that have a value here" in words(app)
    assert app.text_input(key="address about").placeholder == "413 columns: search by name"


def test_a_search_among_the_columns_of_a_text_lives_in_the_address(open_wide: OpenWide) -> None:
    app = open_wide("text.py", text=14, about="RARE_5")
    assert facts(app) == ["rare_5", *[f"rare_5{n}" for n in range(10)]]
    app.text_input(key="address about").set_value("nowhere").run()
    assert not app.exception and param(app, "about") == "nowhere"
    assert "No column with “nowhere” in its name has a value here." in words(app)


def test_a_column_without_a_value_here_is_no_fact(open_wide: OpenWide) -> None:
    assert "No column with “rare_5” in its name has a value here." in words(
        open_wide("text.py", text=15, about="rare_5")
    )


def test_a_feature_offers_thirty_columns_and_takes_another_one_from_the_address(
    open_wide: OpenWide, wide: tuple[NumpyRun, pd.DataFrame]
) -> None:
    app = open_wide("feature.py", feature=FEATURE)
    assert len(app.selectbox(key="address column").options) == 31
    assert "30 of 414 columns" in words(app) and "Where it fires by group" in words(app)

    column = wide[0].activations[:, FEATURE]
    ranked = [i for i in np.lexsort((np.arange(N_TEXTS), -column)) if column[i] > 0 and wide[1][RARE[90]][i] == "r0"]
    named = open_wide("feature.py", feature=FEATURE, column=RARE[90], value="r0")
    assert len(named.selectbox(key="address column").options) == 32
    assert f"r0 ({len(ranked)})" in named.selectbox(key="address value").options
    assert all(f"title {i} " in words(named) for i in ranked[:10])
    assert f"Where it fires by {RARE[90]}" in words(named)


@pytest.mark.parametrize("column", [EMPTY[3], "nowhere", "title"])
def test_a_column_that_nobody_can_choose_from_is_said_with_twelve_others(open_wide: OpenWide, column: str) -> None:
    drawn = words(open_wide("feature.py", feature=FEATURE, column=column))
    assert f"The address says column={column};" in drawn and "and 19 more are known" in drawn


def test_a_question_that_takes_too_long_is_a_sentence_in_its_place(
    open_wide: OpenWide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "PAGE_SECONDS", 2.0)
    monkeypatch.setattr(queries, "histogram", lambda store, feature_id: store.ask(ENDLESS))
    session.store_at.clear()
    drawn = words(open_wide("feature.py", feature=FEATURE))
    session.store_at.clear()
    assert "The question took longer than 2 seconds, so it was ended; narrow it" in drawn
    assert "Where it fires by group" in drawn  # what comes after it on the page


def test_a_narrow_run_shows_all_of_its_columns_without_a_search(open_tiny: OpenWide) -> None:
    app = open_tiny("text.py", text=3)
    assert not [box for box in app.text_input if box.key == "address about"] and len(facts(app)) >= 3
    assert "columns" not in words(open_tiny("feature.py", feature=3))
