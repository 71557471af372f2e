"""Who imports whom among the files of the product, read from their sources."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from tests.support import ROOT


@cache
def product_files() -> tuple[Path, ...]:
    """Every Python file of the product."""
    folders = [ROOT / name for name in ("featurelib", "pages", "precompute")]
    return (ROOT / "app.py", *(path for folder in folders for path in sorted(folder.rglob("*.py"))))


@cache
def module_paths() -> dict[str, Path]:
    """The file of each module of the product, by its dotted name."""
    parts = {path: path.relative_to(ROOT).with_suffix("").parts for path in product_files()}
    return {".".join(names).removesuffix(".__init__"): path for path, names in parts.items()}


@cache
def syntax(path: Path) -> ast.Module:
    """The parsed source of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imported_names(path: Path) -> frozenset[str]:
    """The dotted names of the modules that a file imports, in functions too, but not for type checking alone."""
    names = set()
    for node in _run_nodes(syntax(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                names.add(module if module in module_paths() else node.module)
    return frozenset(names)


def _run_nodes(node: ast.AST) -> list[ast.AST]:
    """The node and all below it, without what stands under `if TYPE_CHECKING`."""
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        return [below for other in node.orelse for below in _run_nodes(other)]
    return [node, *(below for child in ast.iter_child_nodes(node) for below in _run_nodes(child))]


@cache
def imported_files(path: Path) -> frozenset[Path]:
    """The files of the product that a file imports."""
    return frozenset(module_paths()[name] for name in imported_names(path) if name in module_paths()) - {path}


def circles() -> list[list[str]]:
    """The groups of files of which each imports every other one, directly or through others."""
    position = {path: number for number, path in enumerate(product_files())}
    arrows = [(position[path], position[other]) for path in position for other in imported_files(path)]
    start, end = np.array(arrows).T
    graph = csr_array((np.ones(len(arrows)), (start, end)), shape=(len(position), len(position)))
    _, group = connected_components(graph, connection="strong")
    members: dict[int, list[str]] = {}
    for path, number in position.items():
        members.setdefault(group[number], []).append(path.relative_to(ROOT).as_posix())
    return [paths for paths in members.values() if len(paths) > 1]


def room(path: Path) -> str:
    """The room of a file: `queries`, `ui/kit`, `stages/train`, `build`, `pages`; the package's own files are `.`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[0] == "featurelib":
        inside = parts[1:]
    elif parts[0] == "precompute":
        inside = ("command line",) if len(parts) == 2 else parts[1:]
    else:
        return parts[0]
    if inside == ("__init__",):
        return "."
    if inside[0] in ("ui", "stages") and inside[1] != "__init__":
        return "/".join(inside[:2])
    return inside[0]
