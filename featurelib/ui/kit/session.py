"""The runs of the data folder, the run that a page shows, and what all sessions of the server share."""

from __future__ import annotations

import argparse
import contextlib
import gc
import logging
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.scriptrunner_utils.script_requests import ScriptRequestType

from featurelib import charts, installation, queries
from featurelib.schema import STAGES, Refusal
from featurelib.storage.index.maker import IndexMaker
from featurelib.storage.progress import find_progress
from featurelib.storage.runs import Generation, Run, find_runs
from featurelib.storage.store import Store, open_store
from featurelib.storage.time_limits import asks_for
from featurelib.storage.watch import FileWatch
from featurelib.ui.kit.elements import html, sentence, stop_with, tag
from featurelib.ui.kit.turns import Turns

if TYPE_CHECKING:
    from featurelib.live.client import Live

OPENED = "opened run"
STORES = 8
MOST_NAMED = 3
"""Changed files that a page names."""
PAGE_SECONDS = 20.0
"""How long a question of a page may take: nobody waits longer, and what goes on without a reader slows all others."""

GenerationPlace: TypeAlias = tuple[str, tuple[tuple[str, int], ...]]
"""The folder of a generation, and the file names and times (ns) that change when its files do."""

_chosen: dict[str, Path] = {"folder": installation.data_folder()}


@dataclass(frozen=True)
class Opened:
    """The run that a page shows, pinned to one generation for the length of a rerun."""

    name: str
    """The run's name, as in the address."""
    run: Run
    """Its folder."""
    generation: Generation
    """The generation that `current` named when the rerun began."""
    store: Store
    """Its tables."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        _leave(f"app.py: {message}; the only flag is --data DIR (streamlit run app.py -- --data DIR).")


def _leave(sentence: str) -> NoReturn:
    sys.stderr.write(sentence + "\n")
    raise SystemExit(2)


def data_folder_of(words: Sequence[str], default: Path) -> Path:
    """The data folder that the command line names; ends the program with a sentence and code 2 if it is none."""
    parser = _Parser(prog="streamlit run app.py --", allow_abbrev=False, description="Browse the features of SAE runs.")
    parser.add_argument("--data", type=Path, metavar="DIR", help="the folder that holds the runs (default: data)")
    folder = parser.parse_args(list(words)).data
    if folder is not None and not folder.is_dir():
        _leave(f"app.py: there is no folder {folder}; --data names the folder that holds the runs.")
    return (folder or default).resolve()


def use_data_folder(folder: Path) -> None:
    """Show the runs of `folder`, in every session of this process."""
    _chosen["folder"] = folder


def data_folder() -> Path:
    """The folder whose runs are shown."""
    return _chosen["folder"]


def known_runs() -> dict[str, Run]:
    """The runs in the data folder by name."""
    return find_runs(data_folder())


def place_of(generation: Generation) -> GenerationPlace:
    """Where a generation lies, and the times of its manifest or, before there is one, of its markers."""
    manifest = generation.path / "manifest.json"
    stamps = []
    for path in [manifest] if generation.complete else map(generation.marker, STAGES):
        with contextlib.suppress(FileNotFoundError):
            stamps.append((path.name, path.stat().st_mtime_ns))
    return str(generation.path), tuple(stamps)


@st.cache_resource(max_entries=STORES, show_spinner=False)
def store_at(path: str, stamp: tuple[tuple[str, int], ...]) -> Store:
    """The tables of the generation at `path`, opened once for all sessions as long as its stamp is the same."""
    return open_store(Generation(Path(path)), seconds=PAGE_SECONDS)


def store_of(name: str) -> Store:
    """The tables of another run of the data folder; Refusal where there is none."""
    run = known_runs().get(name)
    if run is None:
        raise Refusal(f"the run '{name[:60]}' is not in the data folder any more; its texts cannot be shown.")
    return store_at(*place_of(run.current()))


@st.cache_resource(show_spinner=False)
def file_watch() -> FileWatch:
    """The server's watch over the files of the runs that are read."""
    return FileWatch()


@st.cache_resource(show_spinner=False)
def index_maker() -> IndexMaker:
    """What makes the indexes of runs that have none, beside the server."""
    return IndexMaker("featurelib.search")


@st.cache_resource(show_spinner=False)
def _turns() -> Turns:
    return Turns()


def turn() -> AbstractContextManager[None]:
    """Wait until it is this reader's turn to have a page drawn, and have it until the block ends."""
    return _turns().turn()


def choose_run(run: Run) -> None:
    """Pin this session to the current generation of a run until the next rerun of the whole page."""
    st.session_state[OPENED] = (run.path.name, *place_of(run.current()))


def warn_of_damage() -> None:
    """Say at the top of a page which files of its run are not as they were built, where that is known."""
    if OPENED in st.session_state:
        name, path, _ = st.session_state[OPENED]
        wrong = list(file_watch().read(Generation(Path(path))))
        n_more = len(wrong) - MOST_NAMED
        named = ", ".join(wrong[:MOST_NAMED]) + (f" and {n_more:,} more files" if n_more > 0 else "")
        built = "is not as it was built" if len(wrong) == 1 else "are not as they were built"
        if wrong:
            sentence(
                f"Run '{name}' is damaged, so this page may be wrong: {named} {built}. "
                "Build it again, or copy it once more."
            )


def say_fit() -> None:
    """Say on every page whether an SAE that was not trained in this run fits its embedder; nothing where it was."""
    if OPENED not in st.session_state:
        return
    _, path, stamp = st.session_state[OPENED]
    with contextlib.suppress(Refusal):
        fit = queries.fit_verdict(store_at(path, stamp))
        if fit is not None and fit.fits:
            html(tag("p", fit.sentence, cls="fit"))
        elif fit is not None:
            sentence(fit.sentence)


def open_run() -> Opened:
    """The run of this rerun; a rerun of a fragment keeps the generation that its page was drawn from."""
    if OPENED not in st.session_state:
        stop_with(f"No run is open: start the dashboard with `{installation.command('serve')}`.")
    name, path, stamp = st.session_state[OPENED]
    generation = Generation(Path(path))
    asks_for(has_left())
    try:
        store = store_at(path, stamp)
        if store.index is None:
            make_beside(generation)
        return Opened(name, Run(generation.path.parent), generation, store)
    except Refusal as refusal:
        stop_with(str(refusal))


def has_left() -> Callable[[], bool]:
    """What says whether the reader has left the page of this rerun: for another one, or for good."""
    rerun = get_script_run_ctx()
    requests = None if rerun is None else rerun.script_requests

    def left() -> bool:
        # Streamlit has no public way to see a request without answering it; should these names change, nobody leaves
        state, wanted = getattr(requests, "_state", None), getattr(requests, "_rerun_data", None)
        of_a_part = bool(getattr(wanted, "fragment_id_queue", None))
        again = getattr(wanted, "is_fragment_scoped_rerun", False)
        # a click in a part of the page waits until the page is drawn, as in Streamlit's script_requests.py
        return state is ScriptRequestType.STOP or (state is ScriptRequestType.RERUN and (not of_a_part or again))

    return left


def fragment(draw: Callable[..., None]) -> Callable[..., None]:
    """A part of a page that is drawn again alone; its questions, too, end when the reader has left."""

    @wraps(draw)
    def drawn(*values: Any, **options: Any) -> None:
        asks_for(has_left())
        draw(*values, **options)

    part: Callable[..., None] = st.fragment(drawn)
    return part


def make_beside(generation: Generation) -> bool:
    """Have the indexes of a generation made beside this server; whether they are being made now."""
    return _serving.is_set() and index_maker().ask(generation)


def say_if_being_built() -> None:
    """Say above a page of an unfinished run how far its build is, if it is going on."""
    if OPENED not in st.session_state:
        return
    generation = Generation(Path(st.session_state[OPENED][1]))
    progress = None if generation.complete else find_progress(generation.path.parent)
    if progress:
        sentence(f"this run is {progress.sentence}.")


@st.cache_resource(max_entries=1, show_spinner=False)
def live() -> Live:
    """The server's client of the worker, which holds embedder and SAE and starts with the first question."""
    from featurelib.live.client import Live

    return Live()


def fail(error: Exception) -> bool:
    """Show a Refusal as its own sentence; for anything else a sentence, and the traceback in the server's log."""
    if isinstance(error, Refusal):
        sentence(str(error))
        return True
    logging.getLogger(__name__).error("a page failed", exc_info=error)
    sentence("This page has met an error of its own; its traceback is in the server's log. The other pages go on.")
    return True


_serving = threading.Event()
"""Set once this process is a server: indexes are made for readers, not for a test of a page."""
_freezing = threading.Lock()
_frozen: set[str] = set()


def settle(page: str) -> None:
    """Exempt all living objects from garbage collection, once per page, after its first complete rerun.

    To look through what the imports left alive holds the interpreter for some 50 ms each time, and 4 ms when it is
    frozen (streamlit issue 8977). A page may import more than the one before it, so each one settles once. Streamlit's
    own collection after every rerun is turned off in .streamlit/config.toml.
    """
    with _freezing:
        if page in _frozen:
            return
        _frozen.add(page)
        gc.collect()
        gc.freeze()


@contextlib.asynccontextmanager
async def lifespan(_app: Any) -> AsyncIterator[None]:
    """Raise the limit of open files, of which a session takes some seven, to what the system allows.

    What the first chart needs is loaded while the browser loads its own half.
    """
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    _serving.set()
    threading.Thread(target=charts.prepare, name="prepare charts", daemon=True).start()
    yield
