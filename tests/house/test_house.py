"""The rules of the house, as data: who may import whom, one door for each heavy library, one word for each subject."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.import_graph import (
    circles,
    imported_files,
    imported_names,
    module_paths,
    product_files,
    room,
    syntax,
)

GROUND = {"schema", "stats", "storage", "language", "installation"}
SUBJECTS = {
    "corpus", "embedder", "sae", "summaries", "labels", "layout", "guard", "charts", "classification", "llm",
    "attribution", "families", "steering", "audit", "matching", "slices", "language_model",
}  # fmt: skip
QUESTIONS = {"queries", "search", "live", "charts"}
KIT = GROUND | QUESTIONS
TEXTS = KIT | {"ui/kit"}
PLACE = TEXTS | {"ui/texts", "matching", "slices"}
"""What the room of one page may import: never that of another page."""
STAGE = GROUND | (SUBJECTS - {"guard", "charts"}) | {"build", "engines"}
MAY_IMPORT = {
    **dict.fromkeys(SUBJECTS, GROUND),
    "language_model": GROUND | {"embedder"},
    "session": GROUND | {"sae", "embedder", "language_model"},
    ".": GROUND | {"queries", "sae", "embedder", "language_model", "session"},
    "schema": set(),
    "stats": {"schema"},
    "installation": set(),
    "language": {"schema"},
    "storage": {"schema", "stats", "installation"},
    "queries": GROUND | {"slices"},
    "search": GROUND,
    "live": GROUND | {"embedder", "sae", "attribution", "steering", "language_model"},
    "ui": {"ui/kit", "ui/texts"},
    "ui/kit": KIT,
    "ui/texts": TEXTS,
    "app": GROUND | {"guard", "ui"},
    "stages": set(),
    "engines": GROUND | {"."},
    "classify": GROUND | {"build", "classification", "."},
    "commands": GROUND | {"build", "sae", "corpus", "embedder"},
    "command line": GROUND | {"build", "classify", "commands", "sae", "."},
}
BREACHES: set[tuple[str, str]] = set()
"""Arrows that break the rules still; this list only shrinks."""
DOORS = {
    "torch": {"sae", "embedder", "live", "language_model", "session"},
    "sentence_transformers": {"embedder"},
    "transformers": {"embedder"},
    "onnxruntime": {"embedder"},
    "openvino": {"embedder"},
    "keybert": {"labels"},
    "umap": {"layout"},
    "sklearn": {"layout", "labels", "classification", "families"},
    "scipy": {"stats", "storage", "families", "sae", "layout", "classification", "classify", "slices"},
    "openai": {"llm"},
    "icu4py": {"language"},
    "py3langid": {"language"},
    "stopwordsiso": {"labels"},
    "datasets": {"corpus"},
    "duckdb": {"storage"},
    "faiss": {"storage"},
    "fsspec": {"storage"},
    "streamlit": {"ui", "pages", "app"},
    "plotly": {"charts"},
    "ray": {"engines"},
}
BANNED = {"data", "info", "result", "item", "process", "handle", "manager", "helper", "utils"}
SHARED_SUBJECTS = {
    "attribution", "attributions", "audit", "classify", "coactivation", "combine", "compare", "concept", "contrast",
    "coverage",
    "cross_entropy", "evaluation", "experiments", "explanations", "export", "families", "features", "fidelity", "fit",
    "granularity",
    "intervention", "keywords", "labels", "language_model", "layout", "logit_lens", "map", "matching", "metadata",
    "metrics", "navigation", "near_misses", "overview", "regions", "relations", "similar", "slices", "steering",
    "textmap", "texts", "tokens", "top_texts", "transfer", "trend",
}  # fmt: skip
"""One subject in several layers: file names that may stand in more than one room."""
PATHS = [pytest.param(path, id=path.relative_to(ROOT).as_posix()) for path in product_files()]


def may_import(here: str) -> set[str]:
    """The rooms that a room may import."""
    if here == "pages":
        return GROUND | {"ui", "queries", "charts"} | {other for other in rooms() if other.startswith("ui/")}
    if here == "build":
        return (STAGE - {"build"}) | {"search"} | {other for other in rooms() if other.startswith("stages/")}
    if here.startswith("stages/"):
        return STAGE
    if here.startswith("ui/") and here not in MAY_IMPORT:
        return PLACE
    return MAY_IMPORT[here]


def rooms() -> set[str]:
    """Every room of the product."""
    return {room(path) for path in product_files()}


def arrows(path: Path) -> set[tuple[str, str]]:
    """The arrows from a file's room to other rooms."""
    here = room(path)
    return {(here, room(other)) for other in imported_files(path)} - {(here, here)}


@pytest.mark.parametrize("path", PATHS)
def test_a_file_imports_only_what_its_room_may(path: Path) -> None:
    allowed = may_import(room(path))
    assert {arrow for arrow in arrows(path) if arrow[1] not in allowed} <= BREACHES


def test_a_breach_that_was_mended_leaves_the_list() -> None:
    present = {arrow for path in product_files() for arrow in arrows(path)}
    assert present >= BREACHES, f"mended: take {BREACHES - present} out of BREACHES"


def test_no_file_imports_itself_through_others() -> None:
    assert circles() == []


@pytest.mark.parametrize("path", PATHS)
def test_each_heavy_library_has_its_doors(path: Path) -> None:
    here = room(path).split("/")[0]
    for name in imported_names(path):
        library = name.split(".")[0]
        if library in DOORS:
            assert here in DOORS[library], f"{path.name} imports {library}: its doors are {DOORS[library]}"


@pytest.mark.parametrize("path", PATHS)
def test_imports_are_written_as_imports(path: Path) -> None:
    names = {node.attr if isinstance(node, ast.Attribute) else node.id
             for node in ast.walk(syntax(path)) if isinstance(node, ast.Attribute | ast.Name)}  # fmt: skip
    assert not names & {"import_module", "__import__"} and "importlib" not in imported_names(path)


def test_a_file_name_means_one_subject() -> None:
    places = defaultdict(set)
    for path in product_files():
        if not path.stem.startswith("__"):
            places[path.stem].add(path.parent)
    shared = {name for name, folders in places.items() if len(folders) > 1}
    assert shared <= SHARED_SUBJECTS, "the same subject in several layers is wanted, two subjects are not"


@pytest.mark.parametrize(
    "module", ["featurelib", "featurelib.queries", "featurelib.live.client", "featurelib.ui", "featurelib.search"]
)
def test_importing_what_the_server_imports_brings_no_torch(module: str) -> None:
    heavy = "{'torch', 'sentence_transformers', 'keybert', 'umap', 'sklearn', 'transformers'}"
    code = f"import {module}, sys; print(sorted({heavy} & set(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "[]"


def names_given(tree: ast.AST) -> set[str]:
    """Every name that a file gives to a function, class, argument or variable."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


@pytest.mark.parametrize("path", PATHS)
def test_no_banned_word_is_a_name(path: Path) -> None:
    assert not names_given(syntax(path)) & BANNED


def test_no_file_has_a_banned_name() -> None:
    assert {path.stem for path in product_files()} & BANNED == set()


def test_the_graph_sees_what_the_interpreter_sees() -> None:
    code = (
        "import featurelib.queries, sys; print(*sorted(name for name in sys.modules if name.startswith('featurelib')))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    reached, waiting = set(), [module_paths()["featurelib.queries"]]
    while waiting:
        path = waiting.pop()
        reached.add(path)
        waiting += imported_files(path) - reached
    paths = {module_paths()[name] for name in loaded.stdout.split()}
    packages = {path for path in paths if path.name == "__init__.py"}
    assert paths - packages <= reached
