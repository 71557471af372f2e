"""Make the indexes of one generation, for a server that goes on answering: python -m … GENERATION_FOLDER."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from featurelib.schema import Refusal
from featurelib.search.word_index import make_indexes
from featurelib.storage.runs import Generation

LOWER = 10
"""Its niceness: readers come first."""


def main(arguments: list[str]) -> int:
    """Make them; on a Refusal its sentence goes to the standard error, with exit code 2."""
    with contextlib.suppress(AttributeError, OSError):  # Windows has no niceness
        os.nice(LOWER)
    try:
        make_indexes(Generation(Path(arguments[0])))
    except Refusal as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
