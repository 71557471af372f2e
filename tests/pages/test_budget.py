"""What a page asks and sends, which no machine changes: questions to DuckDB and to the index, elements, bytes."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from featurelib.storage.index import whole
from featurelib.storage.index.rows import Rows
from featurelib.storage.runs import Run
from featurelib.storage.store import Store
from tests.support.page import UseData, page_of
from tests.support.server import serve
from tests.support.wire import Wire

BUDGETS = {
    "overview.py": (0, 4, 30, 90_000),
    "features.py": (0, 4, 30, 90_000),
    "feature.py": (0, 26, 45, 230_000),
    "map.py": (0, 8, 25, 200_000),
    "families.py": (1, 8, 30, 120_000),
    "search.py": (0, 8, 25, 90_000),
    "text.py": (0, 8, 25, 90_000),
    "textmap.py": (0, 6, 25, 200_000),
    "combine.py": (0, 8, 25, 120_000),
    "columns.py": (0, 4, 30, 120_000),
    "slices.py": (0, 8, 45, 160_000),
    "evaluation.py": (0, 2, 50, 160_000),
    "audit.py": (0, 2, 25, 90_000),
}
"""Questions to DuckDB and to the index on a second visit, elements, and bytes of a page."""
PARAMS = {"feature.py": {"feature": 3}, "text.py": {"text": 7}, "search.py": {"q": "galaxy"}, "combine.py": {"with": 3},
          "slices.py": {"a_words": "star"}}  # fmt: skip


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often DuckDB and the index are asked."""
    counted: Counter[str] = Counter()
    for owner, name in ((Store, "_ask"), (Rows, "ask")):
        ask = getattr(owner, name)

        def counting(*values: object, ask=ask, owner=owner, **options: object) -> object:
            counted[owner.__name__] += 1
            return ask(*values, **options)

        monkeypatch.setattr(owner, name, counting)
    return counted


@pytest.mark.parametrize("file", BUDGETS)
def test_a_second_visit_asks_few_questions(file: str, tiny: Run, use_data: UseData, counted: Counter[str]) -> None:
    use_data(tiny.path.parent)
    params = {"run": "tiny", **PARAMS.get(file, {})}
    page_of(file, params)
    counted.clear()
    page_of(file, params)
    assert whole.find(tiny.current()) is not None, "a question was not understood by the index, so it was dropped"
    assert counted["Store"] <= BUDGETS[file][0], "questions to DuckDB"
    assert counted["Rows"] <= BUDGETS[file][1], "questions to the index"


@pytest.fixture(scope="module")
def address(tiny: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("served")
    shutil.copytree(tiny.path, folder / "data" / "tiny")
    with serve(folder / "data", folder / "log.txt") as (address, _):
        yield address


@pytest.mark.parametrize("file", BUDGETS)
def test_a_page_is_few_elements_and_bytes(file: str, address: str, tmp_path: Path) -> None:
    params = "&".join(f"{name}={value}" for name, value in {"run": "tiny", **PARAMS.get(file, {})}.items())
    path = f"/{file.removesuffix('.py').replace('overview', '')}?{params}"
    with Wire(address) as wire:
        wire.open(path)
        wire.open(path)
        assert wire.words and len(wire.drawn) <= BUDGETS[file][2], "elements"
        assert wire.received <= BUDGETS[file][3], "bytes"
