"""How this installation is used: from a checkout of the project, or as a package with the command `feature-browser`."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
INSTALLED_APP = PACKAGE / "dashboard" / "app.py"
"""Where a wheel keeps app.py, pages/ and .streamlit/ of the checkout (see pyproject.toml)."""


def checkout() -> Path | None:
    """The folder of the checkout that this code lies in, or None when it was installed from a wheel."""
    folder = PACKAGE.parent
    return folder if (folder / "app.py").is_file() and (folder / "pages").is_dir() else None


def app_script() -> Path:
    """The script that `streamlit run` starts."""
    folder = checkout()
    return folder / "app.py" if folder else INSTALLED_APP


def data_folder() -> Path:
    """The folder of runs where none is named: data/ of the checkout, else data/ in the current folder."""
    return (checkout() or Path.cwd()) / "data"


def command(words: str) -> str:
    """The command line of this installation for `words`, such as "build SOURCE --name NAME" or "serve"."""
    if checkout() is None:
        return f"feature-browser {words}"
    return "streamlit run app.py" if words == "serve" else f"python -m precompute {words}"
