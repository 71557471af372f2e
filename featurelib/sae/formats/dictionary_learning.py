"""saprmarks/dictionary_learning: ae.pt and config.json, its seven classes.

Read from dictionary_learning 0.1.0 on PyPI (dictionary.py, utils.py, trainers/) and, for the backups of trainings that
stopped early, from training.py of the repository. The tensors of AutoEncoderTopK and BatchTopKSAE are the same.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from featurelib.sae.formats.checkpoint import Checkpoint, LoadOptions
from featurelib.sae.weights.folding import lengths, scaled_activations
from featurelib.sae.weights.prefixes import prefixes_of
from featurelib.sae.weights.scalars import single_count, single_float
from featurelib.sae.weights.settings import positive
from featurelib.sae.weights.without_threshold import without_threshold
from featurelib.schema import Refusal

if TYPE_CHECKING:
    import torch

    from featurelib.sae.gates import Gate
    from featurelib.sae.model import SAE
    from featurelib.sae.weights.contents import Contents

NAME = "dictionary_learning"
LINEAR = ("encoder.weight", "encoder.bias", "decoder.weight")
PLAIN = ("W_enc", "b_enc", "W_dec", "b_dec")
TENSORS = {
    "MatryoshkaBatchTopKSAE": (*PLAIN, "group_sizes"),
    "AutoEncoder": (*LINEAR, "bias"),
    "AutoEncoderNew": (*LINEAR, "decoder.bias"),
    "GatedAutoEncoder": ("encoder.weight", "decoder.weight", "decoder_bias", "r_mag", "gate_bias", "mag_bias"),
    "JumpReluAutoEncoder": (*PLAIN, "threshold"),
    "AutoEncoderTopK": (*LINEAR, "b_dec"),
    "BatchTopKSAE": (*LINEAR, "b_dec"),
}
"""The tensors of each class, in the order in which they are looked for; those of CHOOSING have k and threshold too."""
BIASES = ("encoder.bias", "bias", "decoder.bias", "decoder_bias", "gate_bias", "mag_bias", "b_enc", "b_dec")
"""What the library's scale_biases multiplies, beside thresholds."""
CHOOSING = ("AutoEncoderTopK", "BatchTopKSAE", "MatryoshkaBatchTopKSAE")
CLASS_OF = {"topk": "AutoEncoderTopK", "batchtopk": "BatchTopKSAE"}
BACKUP = "ae"
"""Under this name the weights lie in a backup, which a training that stops early leaves as its ae.pt."""


def matches(contents: Contents) -> bool:
    """Tell whether it is a pickle with the tensors of one of the classes, at the top or in a backup."""
    return contents.kind == "pickle" and any(_weights(contents).has(*names) for names in TENSORS.values())


def read(contents: Contents, options: LoadOptions) -> Checkpoint:
    """Return the SAE as the library's own loader makes it (utils.load_dictionary)."""
    trainer = _trainer(contents)
    weights, remarks = _finished(contents)
    kind = _class(weights, trainer, options)
    weights.only(*_expected(kind, weights))
    sae = _sae(kind, weights)
    weights.says(trainer, activation_dim=sae.d_in, dict_size=sae.n_features)
    if kind in CHOOSING:
        return _choosing(kind, sae, weights, _k(weights, trainer, options), remarks)
    if kind == "JumpReluAutoEncoder" and not trainer:
        remarks += ("no config lies beside it; b_dec is not taken from the input, as in the class of these tensors.",)
    if kind == "AutoEncoder" and not _unit(lengths(sae)):
        sae = scaled_activations(sae, lengths(sae))
        remarks += ("its directions are brought to length 1 and its activations scaled, as the library's loader does.",)
    return Checkpoint(sae, NAME, remarks)


def _weights(contents: Contents) -> Contents:
    return contents.under(BACKUP) if any(name.startswith(f"{BACKUP}.") for name in contents.tensors) else contents


def _trainer(contents: Contents) -> dict[str, Any]:
    """Return the trainer's config: from the JSON, else from a backup."""
    trainer = contents.config.get("trainer")
    trainer = trainer if trainer is not None else (contents.plain or {}).get("config", {})
    if not isinstance(trainer, dict):
        raise Refusal(f"the config of {contents.path.name} says trainer = {trainer!r}; expected the settings of one.")
    return trainer


def _finished(contents: Contents) -> tuple[Contents, tuple[str, ...]]:
    """Return the weights for inputs as they are.

    With normalize_activations the training divides its inputs by norm_factor and, at its end, multiplies the biases by
    it (trainSAE). A backup, which has the optimizer's state beside, was written before that.
    """
    weights, plain = _weights(contents), contents.plain or {}
    factor = plain.get("norm_factor")
    if weights is contents or "optimizer" not in plain or factor is None:
        return weights, ()
    factor = positive(factor, "norm_factor", contents.path.name)
    scaled = {name: weights.floats(name) * factor for name in weights.tensors if _grows(name, weights)}
    remark = (
        f"it is the backup of a training that stopped at step {plain.get('step')}; its biases are multiplied by its "
        f"norm_factor ({factor:.6g}), as the end of a training does."
    )
    return replace(weights, tensors=weights.tensors | scaled), (remark,)


def _grows(name: str, weights: Contents) -> bool:
    """Tell whether scale_biases multiplies this tensor: a bias, or thresholds other than a BatchTopK's first, -1."""
    if name == "threshold":
        return weights.tensors[name].ndim > 0 or weights.number(name) >= 0
    return name in BIASES


def _class(weights: Contents, trainer: dict[str, Any], options: LoadOptions) -> str:
    named = trainer.get("dict_class")
    file = weights.config_file
    if named is not None and str(named) not in TENSORS:
        raise Refusal(f"{file} says dict_class = {named!r}; expected one of {', '.join(TENSORS)}.")
    fitting = [kind for kind, names in TENSORS.items() if weights.has(*names)]
    if named is None and fitting == ["AutoEncoderTopK", "BatchTopKSAE"]:
        return CLASS_OF[options.agreed_architecture(None, file, tuple(CLASS_OF))]
    if named in CLASS_OF.values():
        architectures = {kind: name for name, kind in CLASS_OF.items()}
        options.agreed_architecture(architectures[str(named)], file, tuple(CLASS_OF))
    return named or fitting[0]


def _expected(kind: str, weights: Contents) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the tensors that must be there and those that may: k became a tensor before threshold was one."""
    if kind not in CHOOSING:
        return TENSORS[kind], ()
    return (*TENSORS[kind], *(["k"] if weights.has("threshold") else [])), ("k", "threshold")


def _sae(kind: str, weights: Contents) -> SAE:
    """Return the SAE; for the classes with a k, with every positive pre-activation let through."""
    from featurelib.sae.gates import Gated, JumpReLU, Relu
    from featurelib.sae.model import SAE

    if "W_enc" in TENSORS[kind]:
        W_enc, W_dec = weights.floats("W_enc"), weights.floats("W_dec")
    else:
        W_enc, W_dec = (weights.floats(f"{part}.weight", transposed=True) for part in ("encoder", "decoder"))
    b_enc = next((name for name in ("encoder.bias", "b_enc") if weights.has(name)), None)
    b_dec = next(name for name in ("bias", "decoder.bias", "decoder_bias", "b_dec") if weights.has(name))
    gate: Gate = Relu()
    if kind == "JumpReluAutoEncoder":
        gate = JumpReLU(weights.floats("threshold"))
    if kind == "GatedAutoEncoder":
        gate = Gated(*(weights.floats(name) for name in ("gate_bias", "mag_bias", "r_mag")))
    return SAE(
        W_enc=W_enc,
        b_enc=weights.floats(b_enc) if b_enc else W_enc.new_zeros(W_enc.shape[1]),
        W_dec=W_dec,
        b_dec=weights.floats(b_dec),
        gate=gate,
        subtract_b_dec=kind not in ("AutoEncoderNew", "JumpReluAutoEncoder"),
        trained_as="vanilla" if kind.startswith("AutoEncoder") and kind not in CHOOSING else None,
    )


def _k(weights: Contents, trainer: dict[str, Any], options: LoadOptions) -> int:
    """Return k, which stands in the tensors, in the config, or in both (the loader refuses two that differ)."""
    if not weights.has("k"):
        return options.agreed_k(trainer.get("k"), weights.path.name)
    k = single_count(weights, "k")
    weights.says(trainer, k=k)
    return options.agreed_k(k, weights.path.name)


def _choosing(kind: str, sae: SAE, weights: Contents, k: int, remarks: tuple[str, ...]) -> Checkpoint:
    """Return the checkpoint of a class with a k; a threshold below 0 was never learned (trainers/batch_top_k.py)."""
    from featurelib.sae.gates import TopK
    from featurelib.sae.threshold import with_threshold

    threshold = single_float(weights, "threshold") if weights.has("threshold") else -1.0
    if kind == "AutoEncoderTopK":
        return Checkpoint(replace(sae, gate=TopK(k)), NAME, remarks)
    if kind == "MatryoshkaBatchTopKSAE":
        _check_groups(weights, sae.n_features)
        ends = weights.tensors["group_sizes"].cumsum(0).tolist()
        sae = replace(sae, trained_as="matryoshka", prefixes=prefixes_of(ends, sae.n_features))
    waiting = without_threshold(sae, k, NAME, remarks)
    if threshold < 0:
        return waiting
    return replace(waiting, sae=with_threshold(waiting.sae, threshold), lacks_threshold_for=None)


def _check_groups(weights: Contents, n_features: int) -> None:
    groups = weights.tensors["group_sizes"]
    if groups.ndim != 1 or groups.is_floating_point() or bool((groups <= 0).any()) or int(groups.sum()) != n_features:
        raise Refusal(
            f"group_sizes in {weights.path.name} is {groups.tolist()}; expected numbers above 0 that sum to the "
            f"{n_features} features."
        )


def _unit(lengths: torch.Tensor) -> bool:
    import torch

    return torch.allclose(lengths, torch.ones_like(lengths))
