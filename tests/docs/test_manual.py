"""What README and manual say of commands, flags, paths and links is true."""

from __future__ import annotations

import re

import pytest

from featurelib.schema import STAGES
from precompute.__main__ import parser
from precompute.build.config import BuildConfig, fields
from precompute.build.flag import flag
from precompute.build.stage_table import PIPELINE
from tests.support import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in PAGES}
MANUAL = "\n".join(TEXTS.values())
ARCHITECTURE = TEXTS["docs/architecture.md"]
OF_OTHER_PROGRAMS = {"--no-deps", "--server.address", "--index-url", "--strict", "--head"}


def tree() -> list[str]:
    """The paths in the tree that docs/architecture.md draws."""
    block = ARCHITECTURE.split("## The house")[1].split("```")[1]
    paths, folder = [], ""
    for line in block.strip().splitlines():
        name = line.split()[0]
        if line.startswith(" "):
            paths.append(folder + name)
        else:
            folder = name if name.endswith("/") else ""
            paths.append(name)
    return paths


def test_every_path_of_the_tree_is_there() -> None:
    assert [path for path in tree() if not (ROOT / path).exists()] == []


def test_every_room_has_a_line_in_the_tree() -> None:
    folders = {path.rstrip("/") for path in tree()}
    for folder in ("precompute", "featurelib"):
        for path in (ROOT / folder).iterdir():
            name = path.relative_to(ROOT).as_posix()
            if path.name not in ("__init__.py", "__pycache__", "py.typed"):
                assert name in folders, f"{name} has no line in the drawing of docs/architecture.md"


def test_every_flag_exists() -> None:
    known = {flag(name) for name in fields()} | {"--only", "--from", "--to", "--data", "--config", "--layout"}
    commands = next(action.choices for action in parser()._actions if action.dest == "command")
    known |= {word for command in commands.values() for action in command._actions for word in action.option_strings}
    for path in (ROOT / "benchmarks").rglob("*.py"):
        known |= set(re.findall(r'"(--[a-z][\w-]*)"', path.read_text(encoding="utf-8")))
    used = set(re.findall(r"(?<![\w-])--[a-z][\w.-]*", MANUAL))
    assert used <= known | OF_OTHER_PROGRAMS, used - known - OF_OTHER_PROGRAMS


def test_every_option_belongs_to_a_stage_or_says_nothing_about_its_output() -> None:
    covered = {name for stage in PIPELINE for name in stage.options}
    elsewhere = {"source", "name", "embedder", "revision", "embeddings", "sae", "device", "batch_size", "logger"}
    elsewhere |= {"labeller", "memory", "engine", "address", "parts", "append"}
    assert set(BuildConfig.__dataclass_fields__) == covered | elsewhere


def test_every_command_exists() -> None:
    commands = set(re.findall(r"(?:python -m precompute|feature-browser) ([a-z]+)", MANUAL))
    known = next(action.choices for action in parser()._actions if action.dest == "command")
    assert commands and commands <= set(known), commands - set(known)


def test_every_benchmark_exists() -> None:
    modules = {name.replace(".", "/") for name in re.findall(r"python -m (benchmarks\.[\w.]+)", MANUAL)}
    files = {name.removesuffix(".py") for name in re.findall(r"python (benchmarks/[\w/]+\.py)", MANUAL)}
    assert len(modules | files) > 10
    assert [name for name in sorted(modules | files) if not (ROOT / f"{name}.py").is_file()] == []


def test_every_benchmark_has_its_line() -> None:
    scripts = [path for path in (ROOT / "benchmarks").glob("*.py") if '__name__ == "__main__"' in path.read_text()]
    assert [path.name for path in scripts if path.stem not in TEXTS["docs/benchmarks.md"]] == []


@pytest.mark.parametrize("page", TEXTS)
def test_every_link_leads_somewhere(page: str) -> None:
    here = (ROOT / page).parent
    for target in re.findall(r"\]\(([^)]+)\)", TEXTS[page]):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            assert (here / path).is_file(), f"{page} links to {target}"
            if anchor:
                headings = re.findall(r"^#+ (.+)$", (here / path).read_text(encoding="utf-8"), re.MULTILINE)
                assert anchor in [heading.lower().replace(" ", "-").replace("?", "") for heading in headings]


def test_the_stages_are_named_in_their_order() -> None:
    assert ", ".join(STAGES).replace(", ", " ") in " ".join(re.findall(r"\w+", TEXTS["docs/run-on-disk.md"]))


def test_the_readme_is_short() -> None:
    assert len(TEXTS["README.md"].splitlines()) < 150
