"""SAELens' layout in the middle of a training: checkpoints whose cfg.json holds the training's settings.

Read from sae_lens 6.54 (training/sae_trainer.py, saes/batchtopk_sae.py, training/activation_scaler.py). Its own
SAE.load_from_disk does not know BatchTopK and Matryoshka; they are read here as save_inference_model would export them.
A scale of the inputs that is still apart, in activation_scaler.json, is folded as at the end of a training.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from featurelib.sae.formats import saelens
from featurelib.sae.formats.checkpoint import Checkpoint, LoadOptions
from featurelib.sae.weights.folding import lengths, scaled_activations
from featurelib.sae.weights.prefixes import prefixes_of
from featurelib.sae.weights.scalars import from_logarithm, single_float
from featurelib.sae.weights.settings import flag, positive
from featurelib.sae.weights.without_threshold import without_threshold
from featurelib.schema import Refusal

if TYPE_CHECKING:
    from featurelib.sae.weights.contents import Contents

NAME = "SAELens, mid-training"
THRESHOLD = "topk_threshold"
LOG_THRESHOLD = "log_threshold"
SCALER_FILE = "activation_scaler.json"
RESCALED = "rescale_acts_by_decoder_norm"
TRAINING_KEYS = {
    "aux_loss_coefficient",
    "decoder_init_norm",
    "jumprelu_bandwidth",
    "jumprelu_init_threshold",
    "jumprelu_sparsity_loss_mode",
    "jumprelu_ste_to_input",
    "jumprelu_tanh_scale",
    "k",
    "l0_coefficient",
    "l0_warm_up_steps",
    "l1_coefficient",
    "l1_warm_up_steps",
    "lp_norm",
    "matryoshka_widths",
    "pre_act_loss_coefficient",
    RESCALED,
    "target_l0",
    "topk_threshold_lr",
    "use_matryoshka_aux_loss",
    "use_sparse_activations",
}
"""The settings of all training configs that change nothing at inference, and those of topk."""


def matches(contents: Contents) -> bool:
    """Tell by the threshold that only such a checkpoint has, or by a setting that only trainings have."""
    if contents.kind != "safetensors" or not contents.has("W_enc", "W_dec") or "architecture" not in contents.config:
        return False
    return contents.has(THRESHOLD) or "decoder_init_norm" in contents.config


def read(contents: Contents, options: LoadOptions) -> Checkpoint:
    """Return the SAE as its export at this moment would be; Refusal as for an export."""
    contents, scale = _settled(contents)
    architecture = str(contents.config["architecture"])
    if architecture in saelens.TRAINED_AS:
        return _batch_topk(contents, options, scale)
    dropped = TRAINING_KEYS - (saelens.TOPK_KEYS if architecture == "topk" else set())
    config = {key: value for key, value in contents.config.items() if key not in dropped}
    if contents.has(LOG_THRESHOLD) and not contents.has("threshold"):
        # JumpReLUTrainingSAE.process_state_dict_for_loading: so checkpoints of earlier 6.x hold it.
        tensors = {name: tensor for name, tensor in contents.tensors.items() if name != LOG_THRESHOLD}
        contents = replace(contents, tensors=tensors | {"threshold": from_logarithm(contents, LOG_THRESHOLD)})
    return replace(saelens.read(replace(contents, config=config), options), format=NAME)


def _settled(contents: Contents) -> tuple[Contents, float]:
    """Return the contents with the scale that is still apart folded, and that scale, 1 if there is none.

    As SAE.fold_activation_norm_scaling_factor does: b_enc and the thresholds of jumprelu stay.
    """
    from featurelib.sae.weights.json_file import read_json

    path = contents.path.with_name(SCALER_FILE)
    factor = read_json(path).get("scaling_factor") if path.is_file() else None
    if factor is None or contents.config.get("normalize_activations") != "expected_average_only_in":
        return contents, 1.0
    factor = positive(factor, "scaling_factor", SCALER_FILE)
    powers = {"W_enc": 1, "W_dec": -1, "b_dec": -1}
    folded = {name: contents.floats(name) * factor**power for name, power in powers.items() if contents.has(name)}
    config = contents.config | {"normalize_activations": "none"}
    return replace(contents, config=config, tensors=contents.tensors | folded), factor


def _batch_topk(contents: Contents, options: LoadOptions, scale: float) -> Checkpoint:
    from featurelib.sae.threshold import with_threshold

    config = contents.config
    k, rescaled = config.get("k"), flag(config, RESCALED, True, contents.config_file)
    if isinstance(k, bool) or not isinstance(k, int | float) or not 1 <= k < float("inf"):
        raise Refusal(f"{contents.config_file} says k = {k!r}; expected a number from 1.")
    contents.only((*saelens.TENSORS["standard"], THRESHOLD))
    threshold = single_float(contents, THRESHOLD)
    checkpoint = _as_standard(contents, options)
    sae = checkpoint.sae
    if rescaled:
        # BatchTopKTrainingSAE.fold_activation_norm_scaling_factor: the threshold is in the unit of z·‖W_dec‖.
        sae, threshold = scaled_activations(sae, lengths(sae)), threshold / scale
    trained_as = saelens.TRAINED_AS[config["architecture"]]
    widths = config.get("matryoshka_widths") if trained_as == "matryoshka" else None
    sae = replace(sae, trained_as=trained_as, prefixes=prefixes_of(widths, sae.n_features))
    waiting = replace(without_threshold(sae, round(k), NAME), remarks=checkpoint.remarks)
    if threshold < 0:
        raise Refusal(f"{THRESHOLD} in {contents.path.name} is {threshold}; expected a number from 0: fetch it again.")
    if threshold == 0:  # where it starts, before the first step
        return waiting
    return replace(waiting, sae=with_threshold(waiting.sae, threshold), lacks_threshold_for=None)


def _as_standard(contents: Contents, options: LoadOptions) -> Checkpoint:
    tensors = {name: tensor for name, tensor in contents.tensors.items() if name != THRESHOLD}
    config = {key: value for key, value in contents.config.items() if key not in TRAINING_KEYS}
    return saelens.read(replace(contents, tensors=tensors, config=config | {"architecture": "standard"}), options)
