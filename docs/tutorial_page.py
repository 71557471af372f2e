"""MkDocs hook: the page tutorial.md shows the cells of tutorial.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

CELL = "# %%"


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Put the cells of tutorial.py under the words of tutorial.md; other pages stay as they are."""
    if page.file.src_uri != "tutorial.md":
        return markdown
    source = Path(page.file.abs_src_path).with_suffix(".py").read_text(encoding="utf-8")
    return markdown + "\n\n" + "\n\n".join(_as_markdown(cell) for cell in source.split(f"\n{CELL}"))


def _as_markdown(cell: str) -> str:
    """One cell: prose as it is, one heading level lower; code in a block."""
    head, _, body = cell.removeprefix(CELL).partition("\n")
    if "[markdown]" in head:
        lines = [line.removeprefix("#").removeprefix(" ") for line in body.strip().splitlines()]
        return "\n".join(f"#{line}" if line.startswith("#") else line for line in lines)
    return f"```python\n{body.strip()}\n```"
