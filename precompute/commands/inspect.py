"""inspect: say what an SAE's files are, without running anything in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from featurelib.sae.checkpoints import interpret
from featurelib.sae.checks.self_check import SelfCheck, check_sae
from featurelib.sae.formats import saelens
from featurelib.sae.formats.checkpoint import Checkpoint, LoadOptions
from featurelib.sae.sources.find import find_place, name_source, weights_sha256
from featurelib.sae.sources.place import Place
from precompute.build.job import Say

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from featurelib.sae.model import SAE
    from featurelib.sae.weights.contents import Contents

LABEL = 14
"""How wide the first column is."""
MOST_LINES = 40
"""Tensors that are listed."""
MOST_KEYS = 12
NEVER_FIRED = -9.9
"""SAELens stores the densities as log10(density + 1e-10)."""
GATES = {
    "standard": "fires above 0",
    "topk": "the k largest pre-activations of a text, above 0",
    "jumprelu": "fires above its threshold",
    "gated": "fires where a gate of its own opens",
    "groupmax": "the largest pre-activation of each of k groups, above 0",
    "keepsmax": "fires above its threshold; a text keeps at least its largest",
    "capped": "fires above its threshold; a text keeps at most its k largest",
}


def inspect(source: str, options: LoadOptions, say: Say) -> int:
    """Say what `source` is, line by line; Refusal, after what could be told, when it cannot be read."""
    from featurelib.sae.weights.contents import read_contents

    place = find_place(source)
    _say_all(say, _of_files(source, place))
    contents = read_contents(place)
    _say_all(say, _of_contents(contents))
    checkpoint = interpret(contents, options)
    _say_all(say, _of_sae(checkpoint, check_sae(checkpoint.sae)))
    return 0


def _say_all(say: Say, lines: Iterator[tuple[str, str]]) -> None:
    for label, text in lines:
        # Names come from somebody's file: what a terminal would obey is not passed on.
        shown = "".join(letter if letter.isprintable() else "?" for letter in text)
        say(f"{label:<{LABEL}}{shown}")


def _of_files(source: str, place: Place[Path]) -> Iterator[tuple[str, str]]:
    yield "source", name_source(source, place)
    for path in (*place.shards, place.weights):
        yield "file", f"{path.name}, {path.stat().st_size:,} bytes"
    yield "sha256", weights_sha256(place)
    yield "config", place.config.name if place.config else "none beside it"


def _of_contents(contents: Contents) -> Iterator[tuple[str, str]]:
    yield "kind", contents.kind
    plain = contents.plain if isinstance(contents.plain, dict) else {}
    for label, settings in (("says", contents.config), ("holds", plain)):
        shown = [f"{key} = {value!r:.40}" for key, value in _settings(settings)]
        more = f" and {len(shown) - MOST_KEYS} more" if len(shown) > MOST_KEYS else ""
        if shown:
            yield label, ", ".join(shown[:MOST_KEYS]) + more
    width = max(map(len, contents.tensors), default=0)
    for number, (name, tensor) in enumerate(contents.tensors.items()):
        if number == MOST_LINES:
            yield "", f"and {len(contents.tensors) - MOST_LINES} more"
            return
        dtype = str(tensor.dtype).removeprefix("torch.")
        yield "tensors" * (number == 0), f"{name:<{min(width, 60)}}  {dtype:<9}{list(tensor.shape)}"


def _settings(said: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the short settings, and after them those that stand one level deeper, with the key of their level."""
    levels = [(key, level) for key, level in said.items() if isinstance(level, dict)]
    deeper = [(f"{key}.{name}", value) for key, level in levels for name, value in level.items()]
    for key, value in (*said.items(), *deeper):
        if isinstance(value, str | int | float | bool):
            yield key, value


def _of_sae(checkpoint: Checkpoint, check: SelfCheck) -> Iterator[tuple[str, str]]:
    sae = checkpoint.sae
    lacks = checkpoint.lacks_threshold_for
    yield "format", checkpoint.format
    yield "architecture", "batchtopk" if lacks is not None else sae.architecture
    yield "gate", "to be given (see missing)" if lacks is not None else f"{sae.gate.name}: {GATES[sae.gate.name]}"
    yield "sizes", f"d_in {sae.d_in:,}, {sae.n_features:,} features"
    yield "k", str(lacks or sae.k or "not told")
    yield "norm", sae.norm + ("" if sae.norm == "none" or sae.shift_back else ", not undone in the reconstruction")
    yield "b_dec", "subtracted before encoding" if sae.subtract_b_dec else "not subtracted before encoding"
    if sae.W_skip is not None:
        yield "skip", "a linear road past the features (W_skip)"
    if lacks is None and sae.gate.name not in ("standard", "topk", "groupmax"):
        yield "thresholds", _range(sae.thresholds().numpy())
    least, median, most = check.lengths
    yield "directions", f"length {least:.3g} to {most:.3g}, median {median:.3g}"
    yield "alignment", f"{check.alignment:.2f}, the mean cosine of a feature's encoder and direction"
    if checkpoint.log_density is not None:
        yield "in training", _of_training(checkpoint.log_density.numpy())
    yield "in a run", _layout(sae, "jumprelu" if lacks is not None else sae.gate.name)
    if lacks is not None:
        yield "missing", "its threshold: give --threshold T; a build finds it on its embeddings"
    for label, sentences in (("remark", checkpoint.remarks), ("warning", check.warnings)):
        yield from ((label, sentence) for sentence in sentences)


def _range(values: np.ndarray) -> str:
    least, most = values.min(), values.max()
    middle = sorted(values)[len(values) // 2]
    return f"{least:.6g}" if least == most else f"{least:.4g} to {most:.4g}, median {middle:.4g}"


def _of_training(log_density: np.ndarray) -> str:
    silent = (log_density < NEVER_FIRED).mean()
    return f"L0 {(10**log_density).sum():.1f}, {silent:.1%} of the features never fired (as its file tells)"


def _layout(sae: SAE, gate: str) -> str:
    if saelens.expressible(sae):
        return f"kept in SAELens' layout, as {gate}"
    return "kept as 'foreign', in a layout of our own: SAELens' has no place for it"
