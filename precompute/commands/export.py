"""export: write an SAE, from a run or from anywhere, or the features of a token run, as other tools read them."""

from __future__ import annotations

from pathlib import Path

from featurelib.sae.checkpoints import give_threshold, read_checkpoint
from featurelib.sae.checks.self_check import check_sae
from featurelib.sae.export import ROWS, SAELENS, export_sae
from featurelib.sae.formats.checkpoint import LoadOptions
from featurelib.sae.formats.saelens_origin import Origin
from featurelib.sae.sources.find import find_place, name_source
from featurelib.sae.sources.place import Place
from featurelib.schema import Refusal
from precompute.build.job import Say
from precompute.commands.neuronpedia import NEURONPEDIA, export_features
from precompute.commands.run_origin import generation_of, origin_of


def export(source: str, folder: Path, layout: str, options: LoadOptions, say: Say) -> int:
    """Write what `source` names to the new folder `folder`, in the layout of that library."""
    place = find_place(source)
    if layout == NEURONPEDIA:
        _export_features(source, place, folder, say)
        return 0
    checkpoint = read_checkpoint(place, options)
    if checkpoint.lacks_threshold_for is not None:
        checkpoint = give_threshold(checkpoint, None)
    sae = checkpoint.sae
    for sentence in (*checkpoint.remarks, *check_sae(sae).warnings):
        say(f"{place.weights.name}: {sentence}")
    origin = origin_of(place, sae.n_features)
    export_sae(sae, folder, layout, origin)
    say(
        f"'{folder}' holds the SAE '{name_source(source, place)}' as {layout} writes it ({sae.n_features:,} features, "
        f"{sae.gate.name}); read again, its activations on {ROWS} random rows are equal."
    )
    if layout == SAELENS and origin.density is not None:
        say(f"beside it: {_described(origin)}.")
    return 0


def _export_features(source: str, place: Place[Path], folder: Path, say: Say) -> None:
    generation = generation_of(place)
    if generation is None:
        raise Refusal(
            f"'{source}' is no run, and Neuronpedia's files hold texts and densities beside the SAE; build a run with "
            "--sae, --layer and --pooling none and export that."
        )
    export_features(generation, generation.path.parent.name, folder, say)


def _described(origin: Origin) -> str:
    read = f"{origin.metadata['model_name']} at {origin.metadata['hook_name']}" if origin.metadata else ""
    densities = "sparsity.safetensors, how often each feature fires in the run"
    return f"{densities}; in cfg.json, that it reads {read}" if read else densities
