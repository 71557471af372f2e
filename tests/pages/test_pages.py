"""The navigation and the pages where features are found, against a run written with numpy."""

from __future__ import annotations

import csv
import gc
import io
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamlit.runtime.scriptrunner_utils.script_requests import RerunData, ScriptRequests
from streamlit.testing.v1 import AppTest

from featurelib import charts, ui
from featurelib.storage.runs import Run
from featurelib.ui.kit import session, text_ranges
from featurelib.ui.kit.address import MARKDOWN, label_of
from featurelib.ui.kit.downloads import csv_bytes, parquet_bytes
from tests.support import ROOT
from tests.support.numpy_run import DEAD, N_FEATURES, N_TEXTS, NumpyRun, make_run
from tests.support.page import (
    NAVIGATION,
    Open,
    UseData,
    addresses,
    bodies,
    links,
    names,
    page_of,
    param,
    table,
    text_of,
    words,
)

PAGES = [
    *("overview.py", "features.py", "feature.py", "map.py", "families.py", "search.py", "try.py", "steer.py"),
    *(
        "textmap.py",
        "combine.py",
        "columns.py",
        "slices.py",
        "concept.py",
        "classify.py",
        "experiments.py",
        "transfer.py",
    ),
    *("evaluation.py", "audit.py", "splitting.py", "matching.py", "text.py", "similar.py"),
]
MENU = [
    *(
        "Overview",
        "Features",
        "Feature",
        "Map",
        "Families",
        "Search",
        "Try a text",
        "Steer",
        "Intervene",
        "Text map",
        "Combine",
    ),
    *(
        "Columns",
        "Compare slices",
        "Concept",
        "Classify",
        "Experiments",
        "Transfer",
        "Evaluation",
        "Audit",
        "Splitting",
        "SAE against SAE",
    ),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NumpyRun:
    return make_run(tmp_path_factory.mktemp("pages") / "small")


@pytest.fixture
def show(made: NumpyRun, use_data: UseData) -> Open:
    use_data(made.run.path.parent)
    return lambda file="overview.py", /, **params: page_of(file, params)


def listed(app: AppTest) -> list[str]:
    """The labels of the features that the page links to."""
    return [name for name, query in zip(names(app), addresses(app), strict=True) if "feature=" in query]


def densities(made: NumpyRun) -> np.ndarray:
    """The number of texts on which each feature fires."""
    return np.count_nonzero(made.activations, axis=0)


def falling(made: NumpyRun, which: np.ndarray) -> list[int]:
    """Some features, densest first, ties by id."""
    counts = densities(made)
    return sorted(which.tolist(), key=lambda feature_id: (-counts[feature_id], feature_id))


def strongest(made: NumpyRun, which: np.ndarray) -> list[str]:
    """The labels of some features, the highest maximum first, ties by id."""
    return [made.labels[feature_id] for feature_id in peaking(made, which)]


def peaking(made: NumpyRun, which: np.ndarray) -> list[int]:
    """Some features, the highest maximum first, ties by id."""
    peak = made.activations.max(axis=0)
    return sorted(which.tolist(), key=lambda feature_id: (-peak[feature_id], feature_id))


def in_table(app: AppTest) -> list[int]:
    """The ids of the features in the table."""
    return table(app).opened("feature")


@pytest.mark.parametrize("file", PAGES)
def test_every_page_opens_and_its_menu_keeps_the_run(show: Open, file: str) -> None:
    app = show(file, run="small", **({"text": 1} if file == "text.py" else {}))
    assert links(app.sidebar) == MENU
    assert set(addresses(app.sidebar)) == {"run=small"}


def test_the_address_is_given_the_run_that_is_shown(show: Open) -> None:
    assert param(show(), "run") == "small"


def test_an_unknown_run_is_a_sentence_with_the_known_names(show: Open) -> None:
    app = show(run="nope")
    assert words(app.main) == "There is no run 'nope' here; small can be opened: choose one in the sidebar."
    assert param(app, "run") == "nope"


def test_an_empty_folder_shows_the_two_commands(use_data: UseData, tmp_path: Path) -> None:
    use_data(tmp_path)
    app = page_of("overview.py", {})
    assert "holds no run" in words(app.main)
    assert app.main.code[0].value.splitlines() == [
        "python -m precompute build texts.csv --name mine",
        "streamlit run app.py",
    ]


def test_choosing_another_run_leaves_nothing_of_the_old_one_in_the_address(use_data: UseData, tmp_path: Path) -> None:
    first, second = make_run(tmp_path / "first"), make_run(tmp_path / "second", seed=5)
    use_data(tmp_path)
    app = page_of("features.py", {"run": "first", "q": "galaxy"})
    assert app.sidebar.selectbox[0].options == ["first", "second"]
    app.sidebar.selectbox[0].select("second").run()
    assert {name: param(app, name) for name in app.query_params} == {"run": "second"}
    assert in_table(app) == peaking(second, np.arange(N_FEATURES)) != peaking(first, np.arange(N_FEATURES))


@pytest.mark.parametrize(
    ("upto", "missing"),
    [("ingest", "encode"), ("encode", "summarise"), ("summarise", "layout"), ("keywords", "layout")],
)
def test_an_unfinished_run_opens_and_each_missing_part_is_a_sentence(
    use_data: UseData, tmp_path: Path, upto: str, missing: str
) -> None:
    make_run(tmp_path / "half", upto=upto)
    use_data(tmp_path)
    for file in ("overview.py", "features.py", "map.py"):
        said = words(page_of(file, {"run": "half"}).main)
        if file == "map.py" or upto not in ("summarise", "keywords"):
            assert f"stage '{missing}' is not done" in said or "stage 'summarise' is not done" in said


def test_the_overview_counts_what_numpy_counts(show: Open, made: NumpyRun) -> None:
    app, counts = show(), densities(made)
    said = words(app.main)
    assert f"{len(DEAD)} dead on this corpus" in said
    assert f"{(counts > N_TEXTS / 10).sum()} dense, fire on > 10 % of texts" in said
    assert listed(app) == strongest(made, np.arange(N_FEATURES))[:10]


@pytest.mark.parametrize(("least", "most"), [(0, 0), (1, 50), (60, 90), (40, None), (None, 70)])
def test_a_range_of_densities_in_the_address_lists_its_features(
    show: Open, made: NumpyRun, least: int | None, most: int | None
) -> None:
    given = {name: value for name, value in (("least", least), ("most", most)) if value is not None}
    app, counts = show(**given), densities(made)
    low, high = least or 0, N_TEXTS if most is None else most
    inside = peaking(made, np.flatnonzero((counts >= low) & (counts <= high)))
    assert re.search(rf"\b{len(inside)} features? fires? on", words(app.main))
    assert listed(app) == strongest(made, np.array(inside))[:10]
    assert in_table(show("features.py", **given)) == inside[:50]


FILTERS = [
    ({}, lambda counts, peak, n: np.full(n, True)),
    ({"state": "dead"}, lambda counts, peak, n: counts == 0),
    ({"state": "live"}, lambda counts, peak, n: counts > 0),
    ({"low": "0.6"}, lambda counts, peak, n: peak >= 0.6),
    ({"high": "0.6"}, lambda counts, peak, n: peak <= 0.6),
    ({"cluster": "2"}, lambda counts, peak, n: np.arange(n) % 5 - 1 == 2),
    ({"cluster": "2", "low": "0.5"}, lambda counts, peak, n: (np.arange(n) % 5 - 1 == 2) & (peak >= 0.5)),
]


@pytest.mark.parametrize(("params", "rule"), FILTERS)
def test_the_table_shows_the_features_that_numpy_finds(
    show: Open, made: NumpyRun, params: dict[str, str], rule: Callable[..., np.ndarray]
) -> None:
    inside = np.flatnonzero(rule(densities(made), made.activations.max(axis=0), N_FEATURES))
    app = show("features.py", **params)
    assert in_table(app) == peaking(made, inside)
    assert f"{len(inside)} of {N_FEATURES} features" in words(app.main)


def test_the_table_is_sorted_by_what_the_address_says(show: Open, made: NumpyRun) -> None:
    peak = made.activations.max(axis=0)
    expected = sorted(range(N_FEATURES), key=lambda feature_id: (peak[feature_id], feature_id))
    assert in_table(show("features.py", sort="max_activation", order="rising")) == expected


def test_a_search_box_writes_the_address_and_a_page_of_none_is_said(show: Open, made: NumpyRun) -> None:
    app = show("features.py", page="7")
    assert "there are 1 pages, so page 1 is shown" in words(app.main)
    box = next(box for box in app.main.text_input if box.label == "Search")
    box.set_value("galaxy key8").run()
    assert param(app, "q") == "galaxy key8" and param(app, "page") is None
    known = made.keywords.groupby("feature_id").keyword.agg(" ".join).to_dict()
    searched = {
        feature_id: f"{made.labels[feature_id]} {known.get(feature_id, '')}" for feature_id in range(N_FEATURES)
    }
    assert sorted(in_table(app)) == [
        feature_id for feature_id, text in searched.items() if "galaxy" in text and "key8" in text
    ]


@pytest.mark.parametrize("file", ["features.py", "audit.py", "families.py", "evaluation.py"])
def test_parameters_of_an_address_may_be_called_anything(show: Open, file: str) -> None:
    names = ("page", "label", "help", "width", "cls", "values", "key", "<b>x")
    app = show(file, run="small", **dict.fromkeys(names, "1"))
    assert not app.exception and not app.error
    said = table(app).sorts if "<table>" in "".join(bodies(app)) else {}
    assert all("label=1" in address and "page=" not in address for address in said.values())


def test_a_row_leads_to_its_feature_and_a_head_to_the_whole_table_sorted_by_it(show: Open, made: NumpyRun) -> None:
    by_relevance = table(show("features.py", q="galaxy", page="1"))
    assert by_relevance.order == {} and by_relevance.sorts["maximum"].endswith("sort=max_activation&order=falling")
    shown = table(show("features.py", q="galaxy", page="1", sort="max_activation"))
    assert all(re.fullmatch(r"feature\?run=small&feature=\d+", address) for address in shown.opens)
    assert shown.order == {"maximum": "descending"}
    assert shown.sorts["maximum"] == "features?run=small&q=galaxy&sort=max_activation&order=rising"
    assert shown.sorts["density"] == "features?run=small&q=galaxy&sort=density&order=falling"
    assert shown.sorts["feature"] == "features?run=small&q=galaxy&sort=label&order=rising"
    density = made.activations.astype(bool).mean(axis=0)
    rising = sorted(range(N_FEATURES), key=lambda feature_id: (density[feature_id], feature_id))
    assert in_table(show("features.py", sort="density", order="rising")) == rising[:50]


WRONG = [
    "abc",
    "-1",
    "1e9",
    "٣",
    "1.5",
    "NaN",
    "9" * 30,
    "../..",
    "\x00",
    "",
    " ",
    "1;drop view texts",
    "<b>",
    "![](http://x)",
]


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize("file", ["overview.py", "features.py", "map.py"])
def test_a_wrong_parameter_is_a_sentence_and_never_a_traceback(show: Open, file: str, value: str) -> None:
    names = (
        "least",
        "most",
        "low",
        "high",
        "state",
        "cluster",
        "sort",
        "order",
        "page",
        "q",
        "colour",
        "drag",
        "feature",
    )
    app = show(file, **dict.fromkeys(names, value))
    if value == "abc":
        assert "The address says" in words(app.main)
    assert "Traceback" not in words(app.main)


def test_the_map_shows_the_feature_of_the_address_with_its_top_texts(show: Open, made: NumpyRun) -> None:
    app, column = show("map.py", feature=20), made.activations[:, 20]
    best = np.lexsort((np.arange(N_TEXTS), -column))[:3]
    said = words(app.main)
    assert f"{made.labels[20]} feature 20" in said
    assert f"{np.count_nonzero(column)} of {N_TEXTS} texts" in said
    texts = [query for query in addresses(app) if "text=" in query]
    assert texts == [f"run=small&text={text_id}" for text_id in best]


def test_the_jump_box_finds_by_words_and_opens_an_id(show: Open, made: NumpyRun) -> None:
    app = show("overview.py")
    app.sidebar.text_input[0].set_value("label33").run()
    assert links(app.sidebar)[0] == made.labels[33]
    app.sidebar.text_input[0].set_value("12").run()
    assert param(app, "feature") == "12"
    app.sidebar.text_input[0].set_value("no such feature").run()
    assert "No label or keyword contains" in words(app.sidebar)


def test_a_page_keeps_to_one_generation_and_the_next_rerun_shows_the_new_one(use_data: UseData, tmp_path: Path) -> None:
    old = make_run(tmp_path / "again")
    use_data(tmp_path)
    app = page_of("features.py", {"run": "again"})
    new = make_run(tmp_path / "again", seed=3)
    assert in_table(app) == peaking(old, np.arange(N_FEATURES))
    app.run()
    assert in_table(app) == peaking(new, np.arange(N_FEATURES)) != peaking(old, np.arange(N_FEATURES))
    assert Run(tmp_path / "again").current().name == "g0002"


def test_what_is_alive_is_frozen_after_a_page_was_drawn(show: Open) -> None:
    show()
    assert gc.get_freeze_count() > 0
    gc.unfreeze()


@settings(max_examples=200)
@given(st.text(max_size=40))
def test_a_link_s_label_is_the_text_with_every_mark_escaped(text: str) -> None:
    label = label_of(text)
    shown = re.sub(r"\\(.)", r"\1", label).replace("\u2060", "")
    assert shown == (" ".join(ui.plain(text).split()) or "(empty)").replace("\u2060", "")
    assert not MARKDOWN.search(re.sub(r"\\.", "", label)) and "\n" not in label


@pytest.mark.parametrize(
    "typed",
    ["see http://evil.example/x", "HTTPS://evil.example", "www.evil.example", "mail a@evil.example", "xhttp://e"],
)
def test_no_part_of_a_label_is_an_address_that_becomes_a_link(typed: str) -> None:
    # what mdast-util-gfm-autolink-literal makes links of, once the Markdown has been read
    read = re.sub(r"\\(.)", r"\1", label_of(typed))
    assert not re.search(r"(https?://|www(?=\.))([-.\w]+)", read, re.IGNORECASE)
    assert not re.search(r"[-.\w+]+@[-\w]+(\.[-\w]+)+", read) and read.replace("\u2060", "") == typed


@settings(max_examples=200)
@given(st.text(max_size=60))
def test_a_tag_shows_any_text_and_is_never_broken_by_it(text: str) -> None:
    made = ui.tag("span", text, help=text)
    assert text_of(made) == ui.plain(text)
    assert re.sub(r"&[#a-z0-9]+;", "", made).count("<") == (4 if text else 2)


def test_the_csv_cannot_run_in_a_spreadsheet_and_parquet_is_exact() -> None:
    harmless = ["plain", "a=b", None, "café", " spaced", "a\n=b"]
    formulas = [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "  =1",
        "\n=1",
        "\u200b=1",
        "\ufeff@a",
        "＝1",
        "＋1",
        "－1",
        "＠a",
    ]
    texts = harmless + formulas
    rows = pa.table({"label": texts, "=n": list(range(len(texts))), "many": [["=1"]] * len(texts)})
    made = csv_bytes(rows)
    assert made.startswith(b"\xef\xbb\xbf"), "Excel reads UTF-8 by this mark"
    cells = list(csv.reader(io.StringIO(made.decode("utf-8-sig"), newline="")))
    assert cells[0] == ["label", "'=n", "many"]
    assert [row[0] for row in cells[1:]] == [text or "" for text in harmless] + ["'" + text for text in formulas]
    assert [row[1] for row in cells[1:]] == [str(number) for number in range(len(texts))]
    assert pq.read_table(io.BytesIO(parquet_bytes(rows))).equals(rows)


def test_numbers_are_written_as_people_read_them() -> None:
    assert [ui.number(value) for value in (0.66512, 23.81, 1234.5, 0, None, float("nan"))] == [
        "0.665", "23.8", "1,234", "0", "–", "–",
    ]  # fmt: skip
    assert [ui.percent(value) for value in (0, 0.0068, 0.12345, 1, None)] == ["0 %", "0.68 %", "12.3 %", "100 %", "–"]


def test_the_range_of_a_brush_is_the_range_of_the_list() -> None:
    which = text_ranges.fires_on(charts.TextRange(3, 9), 300)
    inside = [n for n in range(301) if which.density_low <= n / 300 <= which.density_high]
    assert inside == list(range(3, 10))


@pytest.mark.parametrize("n_texts", [1, 9, 10, 99, 300, 8000, 8001])
def test_the_ranges_to_click_hold_every_density_once(n_texts: int) -> None:
    covered = [n for _, span in text_ranges.density_ranges(n_texts) for n in range(span.least, span.most + 1)]
    assert covered == list(range(n_texts + 1))
    for name, span in text_ranges.density_ranges(n_texts):
        if name == "0.1 to 1 %":
            assert span.least / n_texts >= 0.001 and span.most / n_texts < 0.01
        if name == "above 10 %":
            assert span.least / n_texts > 0.1


def test_the_server_never_imports_torch(made: NumpyRun) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from streamlit.testing.v1 import AppTest
from featurelib import ui
import app
ui.use_data_folder(Path({str(made.run.path.parent)!r}))
for file in {PAGES!r}:
    page = AppTest.from_file({str(NAVIGATION)!r}, default_timeout=60)
    page.query_params["text"] = "1"
    page.switch_page(file).run()
    assert not page.exception, file
heavy = {{"torch", "sentence_transformers", "transformers", "keybert", "umap", "sklearn", "datasets"}}
print(sorted(heavy & set(sys.modules)))
"""
    printed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert printed.stdout.strip().splitlines()[-1] == "[]", printed.stderr


@pytest.mark.parametrize("flags", [["--nope"], ["--data", "no/such/folder"], ["--data"], ["stray"]])
def test_wrong_flags_are_a_sentence_and_code_2(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        ui.data_folder_of(flags, default=ROOT / "data")
    said = capsys.readouterr().err
    assert left.value.code == 2 and said.count("\n") == 1 and "--data" in said


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


def fetch(port: int, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, {key.lower(): value for key, value in answer.headers.items()}, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, {}, refused.read().decode()


def test_the_real_server_guards_itself_and_refuses_wrong_flags(made: NumpyRun) -> None:
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port := free_port()), "--"]
    refused = subprocess.run([*command, "--nope"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 2 and "--nope" in refused.stderr and "Traceback" not in refused.stderr
    server = subprocess.Popen(
        [*command, "--data", str(made.run.path.parent)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        for _ in range(120):
            try:
                status, headers, page = fetch(port, "/")
                break
            except urllib.error.URLError:
                time.sleep(0.25)
        assert status == 200 and "sha256-" in headers["content-security-policy"] and "<script" in page
        assert fetch(port, "/", Host="evil.example")[0] == 403
        assert "server.allowedHosts" in fetch(port, "/feature", Host="evil.example")[2]
        assert fetch(port, "/_stcore/stream", Origin="http://evil.example")[0] == 403
        assert fetch(port, "/_stcore/health", Host=f"localhost:{port}")[0] == 200
    finally:
        server.terminate()
        server.wait(timeout=20)


@pytest.mark.parametrize("asks", [lambda requests: requests.request_rerun(RerunData()), ScriptRequests.request_stop])
def test_who_opens_another_page_or_closes_the_tab_has_left(asks, monkeypatch) -> None:
    requests = ScriptRequests()
    monkeypatch.setattr(session, "get_script_run_ctx", lambda: SimpleNamespace(script_requests=requests))
    has_left = session.has_left()
    assert not has_left()
    requests.request_rerun(RerunData(fragment_id="a part of the page"))
    assert not has_left()  # the page is drawn to its end first
    asks(requests)
    assert has_left()
