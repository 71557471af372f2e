"""serve: show the runs of a folder in the browser."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from featurelib import installation
from featurelib.schema import Refusal

FORWARDED = ("--server.", "--browser.", "--client.", "--theme.", "--logger.")
"""The beginnings of the options that are Streamlit's own."""


def serve(data_folder: Path, options: Sequence[str]) -> int:
    """Run the dashboard on the runs in `data_folder` until it is stopped; return its exit code.

    `options` are Streamlit's, such as --server.address 0.0.0.0. Raises Refusal when the folder is not there.
    """
    if not data_folder.is_dir():
        raise Refusal(
            f"there is no folder {data_folder}; name the folder that holds the runs, "
            f"or build one first: {installation.command('build SOURCE --name NAME')}."
        )
    arguments = server_arguments(data_folder, options)
    if os.name == "posix":
        # The server takes this process' place, so that a signal that stops the command stops the server.
        os.execv(sys.executable, arguments)
    return subprocess.call(arguments)


def server_arguments(data_folder: Path, options: Sequence[str]) -> list[str]:
    """The command line of the server, an absolute path of the data folder in it."""
    script = installation.app_script()
    return [
        *(sys.executable, "-m", "streamlit", "run", str(script), *options),
        *("--", "--data", str(data_folder.resolve())),
    ]


def check_options(options: Sequence[str]) -> list[str]:
    """Return `options` if each is one of Streamlit's (or a value of one), else raise Refusal."""
    for option, before in zip(options, ["", *options], strict=False):
        is_value = not option.startswith("-") and before.startswith("--") and "=" not in before
        if not is_value and not option.startswith(FORWARDED):
            raise Refusal(f"{option} is not a flag of serve; Streamlit's own are taken, such as --server.port 8600.")
    return list(options)
