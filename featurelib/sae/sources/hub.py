"""SAEs on the Hugging Face hub: of a repository only what an SAE needs is fetched, and nothing in it is run."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import unquote

from featurelib.sae.sources.locate import (
    SUFFIXES,
    WEIGHT_NAMES,
    Disk,
    Listing,
    Names,
    check_size,
    choose,
    complete_place,
)
from featurelib.sae.sources.place import P, Place
from featurelib.schema import Refusal
from featurelib.storage import files
from featurelib.storage.hub_id import check_hub_id

SCHEME = "hf://"
SEGMENT = r"[\w-][\w.-]*"
FORM = re.compile(
    rf"(?P<repo>{SEGMENT}/{SEGMENT})(?:@(?P<first>refs/[\w.-]+/[\w.-]+|[^/@\s]+))?"
    r"(?P<folder>(?:/[^/@\\]+)*)/?(?:@(?P<last>[^@\s]+))?",
    re.ASCII,
)
"""The revision stands after the name, as the hub's own client writes it, or at the end."""
SHA256 = re.compile("[0-9a-f]{64}")
HUB_SECONDS = 4.0
"""How long the hub may take to answer a question before it counts as out of reach."""


class HubName(NamedTuple):
    """What a source on the hub names."""

    repo: str
    """org/name."""
    folder: PurePosixPath
    """The folder in it, or the file."""
    revision: str | None
    """A branch, tag or commit; None for the main branch."""

    def __str__(self) -> str:
        """Return it as people write it."""
        place = "" if self.folder == PurePosixPath() else f"/{self.folder}"
        return f"{self.repo}{place}" + (f"@{self.revision}" if self.revision else "")


class OutOfReach(Refusal):
    """The hub does not answer; what is in the cache may do."""


def parse(source: str) -> HubName | None:
    """Return what `source` names on the hub; None when it can be no hub id, such as ./folder or folder/file.pt."""
    match = FORM.fullmatch(source.removeprefix(SCHEME))
    if not match or (match["first"] and match["last"]):
        return None
    inside = match["folder"].strip("/")
    if not source.startswith(SCHEME) and not inside and match["repo"].endswith(SUFFIXES):
        return None
    if any(part in (".", "..") for part in inside.split("/")):
        return None
    revision = match["first"] or match["last"]
    return HubName(match["repo"], PurePosixPath(inside), unquote(revision) if revision else None)


def fetch(name: HubName) -> Place[Path]:
    """Return the files of the SAE in the local Hugging Face cache, downloaded where they are not there yet.

    The hub is asked first; where it is out of reach, what is in the cache is used as it is. Raises Refusal.
    """
    check_hub_id(name.repo)
    try:
        place = _download(name)
    except OutOfReach:
        cached = _cached(name)
        if cached is None:
            raise
        place = cached
    for path in place.in_order:
        _check_blob(path)
    return place


def _check_blob(path: Path) -> None:
    """Refuse a file that is not the one that the hub named: its cache calls large files by their sha256."""
    named = path.resolve().name
    if SHA256.fullmatch(named) and files.sha256_file(path) != named:
        raise Refusal(
            f"{path.name} in the cache of the hub is damaged: its sha256 is not the one that the hub told; "
            f"remove {named[:12]}… from the cache's blobs and give the same command again."
        )


def _download(name: HubName) -> Place[Path]:
    from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_download, hf_hub_url

    repository = _ask(name, lambda: HfApi().model_info(name.repo, revision=name.revision, timeout=HUB_SECONDS))
    listing = Names(sibling.rfilename for sibling in repository.siblings or [])
    remote = _choose(listing, name, PurePosixPath())
    wanted = [str(path) for path in remote.in_order]
    urls = [hf_hub_url(name.repo, file, revision=repository.sha) for file in wanted]
    sizes = [_ask(name, partial(get_hf_file_metadata, url, timeout=HUB_SECONDS)).size for url in urls]
    check_size(str(name), sum(size or 0 for size in sizes))
    try:
        # The weights come last: once they are in the cache, the files that belong to them are there too.
        paths = [Path(hf_hub_download(name.repo, file, revision=name.revision)) for file in wanted]
    except _errors() as error:
        raise _refusal(name, error, doing="broke off while it was fetched") from error
    if any(f"/snapshots/{repository.sha}/" not in path.as_posix() for path in paths):
        raise Refusal(f"the SAE {name} was changed on the hub while it was fetched; give the same command again.")
    fetched = dict(zip(remote.in_order, paths, strict=True))
    return Place(
        fetched[remote.weights],
        fetched[remote.config] if remote.config else None,
        *(tuple(fetched[path] for path in group) for group in (remote.densities, remote.shards)),
    )


def _choose(listing: Listing, name: HubName, root: P) -> Place[P]:
    """Return the SAE that `name` means among the files of a repository, which lie below `root`."""
    path = root / name.folder
    if name.folder.name and name.folder.name in listing.files(path.parent):
        return complete_place(listing, path)
    if name.folder.name and name.folder.name not in listing.folders(path.parent):
        folders = listing.folders(root)
        mend = f"its folders are {', '.join(folders[:5])}" if folders else "it has no folders"
        raise Refusal(f"the repository {name.repo} on the hub holds no '{name.folder}'; {mend}.")
    return choose(listing, path, str(name))


def _cached(name: HubName) -> Place[Path] | None:
    """Return the SAE in the snapshot that the cache holds, or None when it holds none.

    A cache may hold a part of a repository. So where several files may be weights there, one counts only if it has the
    name of a format's weights, or is named in full.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        # No file is asked for: only where the snapshot lies.
        root = Path(snapshot_download(name.repo, revision=name.revision, local_files_only=True, allow_patterns=[]))
        place = _choose(Disk(), name, root)
    except (LocalEntryNotFoundError, FileNotFoundError, Refusal):
        return None
    # An index is fetched after its shards.
    if place.weights.name.removesuffix(".index.json") not in WEIGHT_NAMES and place.weights.name != name.folder.name:
        raise OutOfReach(
            f"the hub cannot be reached, and of {name} the cache may hold a part only; "
            f"name the file that you mean: {SCHEME}{name.repo}/{place.weights.relative_to(root).as_posix()}."
        )
    return place


def _ask(name: HubName, question: Callable[[], Any]) -> Any:
    """Return the hub's answer, or raise Refusal within HUB_SECONDS."""
    answers: list[Any] = []

    def put_answer() -> None:
        try:
            answers.append(question())
        except _errors() as error:
            answers.append(error)

    # a thread, because a name look-up in a closed network cannot be given a time limit
    asking = threading.Thread(target=put_answer, daemon=True)
    asking.start()
    asking.join(HUB_SECONDS)
    answer = answers[0] if answers else TimeoutError(f"no answer in {HUB_SECONDS:g} s")
    if isinstance(answer, Exception):
        raise _refusal(name, answer) from answer
    return answer


def _errors() -> tuple[type[Exception], ...]:
    """What the hub's client raises: its own error's bases are its transport's error (of httpx or a kin) and OSError."""
    from huggingface_hub.errors import HfHubHTTPError

    return (*(base for base in HfHubHTTPError.__bases__ if issubclass(base, Exception)), ValueError)


def _refusal(name: HubName, error: Exception, doing: str = "is neither on this machine nor in the cache") -> Refusal:
    """Say what is wrong without the client's own words, which may hold addresses that are signed."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    while isinstance(error, FileNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    if isinstance(error, GatedRepoError):
        return Refusal(f"the repository {name.repo} is gated on the hub; accept its terms there and set HF_TOKEN.")
    if isinstance(error, RevisionNotFoundError):
        return Refusal(f"the repository {name.repo} has no revision '{name.revision}'; give a branch, tag or commit.")
    if isinstance(error, RepositoryNotFoundError):
        return Refusal(
            f"there is no SAE at '{name}': no such path on this machine, and no repository {name.repo} on the hub that "
            "may be read; check its spelling, or set HF_TOKEN if it is private."
        )
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if status in (401, 403):
        return Refusal(f"the hub does not let you read {name.repo} (status {status}); set HF_TOKEN to one that may.")
    reason = f"{type(error).__name__}, status {status}" if status else type(error).__name__
    return OutOfReach(
        f"the SAE {name} {doing}, and the hub cannot be reached ({reason}); give a path on this machine, or go online."
    )
