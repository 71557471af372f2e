"""The rooms keep their doors: who may import whom, one door for each heavy library, no word that is banned."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GROUND = {"schema", "stats", "storage", "installation"}
NOUNS = {
    "corpus", "embedder", "sae", "summaries", "labels", "layout", "guard", "charts", "classification", "llm",
    "attribution", "families", "steering", "audit", "matching",
}  # fmt: skip
MAY_IMPORT = {
    **{noun: GROUND for noun in NOUNS},
    "schema": set(),
    "stats": {"schema"},
    "installation": set(),
    "storage": {"schema", "stats", "installation"},
    "queries": GROUND,
    "search": GROUND,
    "live": GROUND | {"embedder", "sae", "attribution", "steering"},
    "ui": GROUND | {"queries", "search", "live", "charts", "matching"},
    "pages": GROUND | {"ui", "queries", "charts"},
    "app": GROUND | {"guard", "ui"},
}
DOORS = {
    "torch": {"sae", "embedder", "live"},
    "sentence_transformers": {"embedder"},
    "transformers": {"embedder"},
    "keybert": {"labels"},
    "umap": {"layout"},
    "sklearn": {"layout", "labels", "classification", "families"},
    "scipy": {"stats", "storage", "families", "classification"},
    "openai": {"llm"},
    "datasets": {"corpus"},
    "duckdb": {"storage"},
    "streamlit": {"ui", "pages", "app"},
    "plotly": {"charts"},
}
BANNED = {"data", "info", "result", "item", "process", "handle", "manager", "helper", "utils"}


def python_files() -> list[Path]:
    """Every Python file of the product."""
    folders = [ROOT / name for name in ("featurelib", "pages", "precompute")]
    return [ROOT / "app.py", *(path for folder in folders for path in sorted(folder.rglob("*.py")))]


def room(path: Path) -> str:
    """The room a file belongs to: a file of featurelib, or the wing."""
    inside = path.relative_to(ROOT)
    if inside.parts[0] == "featurelib":
        return inside.parts[1].removesuffix(".py")
    return inside.parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """The dotted names that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "featurelib":
                found |= {f"featurelib.{alias.name}" for alias in node.names}
            else:
                found.add(node.module)
    return found


@pytest.mark.parametrize("path", python_files(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_imports_only_what_its_room_may(path: Path) -> None:
    here = room(path)
    ours = {name.split(".")[1] for name in imports(path) if name.startswith("featurelib.")} - {here}
    verbs = any(name.split(".")[0] == "precompute" for name in imports(path))
    places = any(name.split(".")[0] == "pages" for name in imports(path))
    if here == "precompute":
        assert not ours & {"ui", "live", "guard", "charts"} and not places
        return
    assert not verbs and not places
    if here != "__init__":
        assert ours <= MAY_IMPORT[here], f"{here} imports {ours - MAY_IMPORT[here]}"


@pytest.mark.parametrize("path", python_files(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_each_heavy_library_has_its_doors(path: Path) -> None:
    for name in imports(path):
        library = name.split(".")[0]
        if library in DOORS:
            assert room(path) in DOORS[library], f"{path.name} imports {library}: its doors are {DOORS[library]}"


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
    given = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            given.add(node.name)
        elif isinstance(node, ast.arg):
            given.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            given.add(node.id)
    return given


@pytest.mark.parametrize("path", python_files(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_banned_word_is_a_name(path: Path) -> None:
    assert not names_given(ast.parse(path.read_text(encoding="utf-8"))) & BANNED
