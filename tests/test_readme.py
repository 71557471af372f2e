"""What the README says of the house is true."""

from __future__ import annotations

import re
from pathlib import Path

from precompute.build.config import BuildConfig, fields, flag
from precompute.build.stage_table import PIPELINE

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def tree() -> list[str]:
    """The paths in the README's tree."""
    block = README.split("## The house")[1].split("```")[1]
    found, folder = [], ""
    for line in block.strip().splitlines():
        name = line.split()[0]
        if not line.startswith(" "):
            folder = name if name.endswith("/") else ""
            found.append(name)
        elif all(word.endswith(".py") for word in line.split()):
            found += [folder + word for word in line.split()]
        else:
            found.append(folder + name)
    return found


def test_every_path_of_the_tree_is_there() -> None:
    assert [path for path in tree() if not (ROOT / path).exists()] == []


def test_every_file_of_the_house_has_a_phrase_in_the_tree() -> None:
    told = {path.rstrip("/") for path in tree()}
    for folder in ("pages", "precompute", "featurelib"):
        for path in (ROOT / folder).iterdir():
            name = path.relative_to(ROOT).as_posix()
            if path.name not in ("__init__.py", "__pycache__"):
                assert name in told, f"{name} has no line in the README's tree"


def test_every_flag_in_the_readme_exists() -> None:
    known = {flag(name) for name in fields()} | {"--only", "--from", "--to", "--data", "--config"}
    known |= {"--server.address", "--index-url", "--layout"}
    for path in (ROOT / "benchmarks").glob("*.py"):
        known |= set(re.findall(r'add_argument\("(--[\w-]+)"', path.read_text(encoding="utf-8")))
    used = set(re.findall(r"(?<![\w-])--[a-z][\w.-]*", README))
    assert used <= known, used - known


def test_every_option_belongs_to_a_stage_or_says_nothing_about_its_output() -> None:
    covered = {name for stage in PIPELINE for name in stage.options}
    elsewhere = {"source", "name", "embedder", "revision", "embeddings", "sae", "device", "batch_size", "logger"}
    elsewhere |= {"labeller"}
    assert set(BuildConfig.__dataclass_fields__) == covered | elsewhere
