"""What a pickle of torch's holds, read by a process of its own that runs nothing in it (see this package)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from featurelib.sae.pickles import limits
from featurelib.sae.pickles.handover import PLAIN, TENSORS
from featurelib.schema import Refusal

if TYPE_CHECKING:
    import torch

KEPT_VARIABLES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
"""Of the environment, what the interpreter may need to start; nothing else is handed on."""


class Pickled(NamedTuple):
    """What a pickle holds."""

    tensors: dict[str, torch.Tensor]
    """By dotted path, such as state_dict.W_enc or autoencoders.0.W_enc, in the stored dtype, on the CPU; "" is the path
    of a tensor that is the whole file."""
    plain: dict[str, Any]
    """All else, nested as in the file: an object is the dict of its attributes with its class, such as
    sae_training.config.LanguageModelSAERunnerConfig, under "__class__"; a dtype, device or path is its text; in a list,
    None stands for a tensor; a lone value is under ""."""


def read_pickle(path: Path) -> Pickled:
    """Read a file of torch.save's, or a bare pickle, without running anything in it.

    Refusal when it is cut or damaged, asks for a global that no SAE needs (which is named), or for more memory or time
    than its size allows.
    """
    if not path.is_file():
        raise Refusal(f"there is no file '{path}'; give the path of a .pt, .pth or .pkl file.")
    with tempfile.TemporaryDirectory(prefix="pickled-") as name:
        folder = Path(name)
        _read_apart(path, folder)
        return _read_answer(folder)


def _read_apart(path: Path, folder: Path) -> None:
    """Let the child read `path` into `folder`."""
    size = path.stat().st_size
    seconds, memory = limits.seconds(size), limits.memory(size) // limits.MIB
    package = Path(limits.__file__).parent
    try:
        child = subprocess.run(
            [sys.executable, "-E", "-s", "-S", "-X", "utf8", "-m", package.name, path.resolve(), folder],
            cwd=package.parent,
            env={name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=2 * seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Refusal(
            f"{path.name} was not read within {2 * seconds} seconds, far longer than its size should take: "
            "fetch it from a source you trust, or as safetensors."
        ) from error
    if child.returncode == limits.REFUSED:
        raise Refusal(f"{path.name} {child.stdout.decode('utf-8', 'replace')}")
    if child.returncode != 0:
        raise Refusal(
            f"{path.name} ended the process that read it (code {child.returncode}) by taking more than {seconds} "
            f"seconds, {memory} MiB of memory or worse: fetch it from a source you trust, or as safetensors."
        )


def _read_answer(folder: Path) -> Pickled:
    """What the child left in `folder`, in memory of our own."""
    from safetensors import safe_open

    handed = json.loads((folder / PLAIN).read_bytes())
    with safe_open(folder / TENSORS, framework="pt") as stored:
        tensors = {path: stored.get_tensor(name).clone() for path, name in handed["names"].items()}
    return Pickled(tensors, handed["plain"])
