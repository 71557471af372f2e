"""The page Transfer, the boxes for what trained and tested, and texts of another run, beside the tables themselves."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest

from featurelib.storage.experiments import ExperimentSet
from precompute.__main__ import main
from tests.precompute.test_transfer import SIDE, add_columns, plant
from tests.support.numpy_run import NumpyRun, make_run
from tests.support.page import Open, UseData, bodies, page_of, words


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NumpyRun:
    folder = tmp_path_factory.mktemp("pages")
    made = plant(make_run(folder / "small"))
    other = plant(make_run(folder / "other", seed=3))
    add_columns(other, {"text": [f"{text} again {place}" for place, text in enumerate(other.texts["text"])]})
    flags = ["--run", "small", "--data", str(folder), "--classifier", "logistic"]
    seen = ["--representation", "features", "--representation", "random"]
    assert main(["classify", *flags, *seen, "--label", "turned", "--transfer", "side"]) == 0
    assert main(["classify", *flags, *seen, "--label", "kind", "--test-run", "other", "--resamples", "5"]) == 0
    return made


@pytest.fixture
def show(made: NumpyRun, use_data: UseData) -> Open:
    use_data(made.run.path.parent)
    return lambda file="transfer.py", /, **params: page_of(file, {"run": "small"} | params)


def scores(made: NumpyRun, name: str, metric: str = "accuracy") -> pd.DataFrame:
    rows = ExperimentSet(made.run.path / "experiments" / name).table("scores").to_pandas()
    return rows[rows["metric"] == metric]


def test_the_grid_holds_the_scores_and_frames_the_native_ones(show: Open, made: NumpyRun) -> None:
    app = show(set="turned-by-side")
    (grid,) = [body for body in bodies(app) if 'class="grid"' in body]
    rows = scores(made, "turned-by-side").query("representation == 'features'")
    lines = re.findall(r"<tr><th[^>]*row.*?</tr>", grid)
    assert len(lines) == 3
    for line, train in zip(lines, ["every side", "side left", "side right"], strict=True):
        for cell, test in zip(re.findall(r"<td.*?</td>", line), ["side left", "side right"], strict=True):
            value = rows[(rows["train"] == train) & (rows["test"] == test)]["value"].iloc[0]
            assert f">{100 * value:.0f}</bdi>" in cell
            assert ('class="marked"' in cell) == (train == test)
            assert f"train={train.replace(' ', '+')}" in cell and f"test={test.replace(' ', '+')}" in cell


def test_native_and_transferred_means_are_those_of_the_cells(show: Open, made: NumpyRun) -> None:
    app = show(set="turned-by-side", metric="macro_f1")
    rows = scores(made, "turned-by-side", "macro_f1").query("representation == 'features'")
    native = rows[rows["train"] == rows["test"]]["value"].mean()
    away = rows[(rows["train"] != rows["test"]) & (rows["train"] != "every side")]["value"].mean()
    together = rows[rows["train"] == "every side"]["value"].mean()
    assert f"features {native:.3f} {away:.3f} {100 * (native - away):.1f} {together:.3f}" in words(app)
    assert native > away + 0.4


def test_mcnemar_compares_the_same_test_texts(show: Open, made: NumpyRun) -> None:
    app = show(set="turned-by-side", **{"from": "side left"})
    predictions = ExperimentSet(made.run.path / "experiments" / "turned-by-side").table("predictions").to_pandas()
    own = [
        predictions[predictions["experiment"] == f"turned, features, logistic, {train} to side right"]
        for train in ("side right", "side left")
    ]
    right = [(rows["true"] == rows["predicted"]).to_numpy() for rows in own]
    gap = 100 * (right[0].mean() - right[1].mean())
    assert set(SIDE[own[0]["text_id"]]) == {"right"} and f"{gap:+.1f}" in words(app)
    assert words(app).endswith(f" {len(own[0])}")


def test_one_cell_is_an_experiment_of_the_page_classify(show: Open, made: NumpyRun) -> None:
    app = show("classify.py", set="turned-by-side", sees="features", train="side left", test="side right")
    row = scores(made, "turned-by-side").query("train == 'side left' and test == 'side right'").iloc[0]
    assert f"{row['value']:.3f} " in words(app) and f"{row['n_test']} test texts" in words(app)
    errors = show("classify.py", set="turned-by-side", train="side left", test="side right", view="errors")
    assert f"Got wrong {round((1 - row['value']) * row['n_test'])} texts" in words(errors)


def test_texts_of_another_run_open_in_it(show: Open, made: NumpyRun) -> None:
    app = show(set="kind-on-other")
    assert "run other" in words(app) and "20 % drawn" in words(app)
    errors = show("classify.py", set="kind-on-other", sees="random", test="run other", view="errors")
    opened = re.findall(r'href="(text[^"]*)"', "".join(bodies(errors)))
    assert opened and all("run=other" in address for address in opened if "feature=" not in address)
    assert "again" in words(errors)


def test_divisions_are_compared_by_the_corrected_t(show: Open, made: NumpyRun) -> None:
    app = show("experiments.py", set="kind-on-other")
    again = ExperimentSet(made.run.path / "experiments" / "kind-on-other").table("resamples").to_pandas()
    first, second = (
        again[again["model"] == f"kind, {name}, logistic"]["accuracy"].to_numpy() for name in ("features", "random")
    )
    assert f"{100 * (first - second).mean():+.1f}" in words(app) and "5 further divisions" in words(app)


def test_a_run_without_transfers_says_how(show: Open, made: NumpyRun) -> None:
    app = page_of("transfer.py", {"run": "other"})
    assert "classify --run other --label COLUMN --transfer COLUMN" in words(app)


ODD = ("a, b", "<b>bold</b> to side", "\" quoted & 'so'", "x" * 500, "every odd", "")


def test_odd_labels_and_slices_are_shown_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, use_data: UseData
) -> None:
    folder = tmp_path_factory.mktemp("odd")
    made = make_run(folder / "small")
    labels = [ODD[place % 3] for place in range(300)]
    slices = [ODD[2 + place // 3 % 4] for place in range(300)]
    add_columns(made, {"kind, of": labels, "odd": slices})
    flags = ["--run", "small", "--data", str(folder), "--label", "kind, of", "--transfer", "odd"]
    assert main(["classify", *flags, "--representation", "features", "--name", "odd"]) == 0
    use_data(folder)
    app = page_of("transfer.py", {"run": "small"})
    (grid,) = [body for body in bodies(app) if 'class="grid"' in body]
    assert (
        len(re.findall(r"<tr><th[^>]*row", grid)) == 4 and "<b>bold" not in grid and grid.count('class="marked"') == 3
    )
    assert "75 texts have no &#x27;odd&#x27;" in "".join(bodies(app))
    hrefs = [unescape(href) for href in re.findall(r'href="(classify[^"]*)"', grid)]
    assert len(hrefs) == 4 * 3
    for href in (hrefs[0], hrefs[5], hrefs[-1]):
        query = {name: values[0] for name, values in parse_qs(urlsplit(href).query).items()}
        shown = page_of("classify.py", query)
        assert "training texts" in words(shown) and query["train"][:20] in words(shown)
