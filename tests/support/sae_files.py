"""Small SAEs that were really trained, by a plain loop with nothing of ours in it, and their files in every format."""

from __future__ import annotations

import json
import sys
import types
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import save_file

from featurelib.sae.gates import Gate, JumpReLU, Relu, TopK
from featurelib.sae.model import SAE

N_PLANTED, PER_TEXT = 24, 3
STEPS, BATCH, RATE = 500, 128, 6e-3

Tensors = dict[str, torch.Tensor]


@lru_cache
def planted_rows(d_in: int, n: int = 3000) -> np.ndarray:
    """Rows, float32 [n, d_in], that are each the sum of three of 24 directions, off centre and longer than 1."""
    draw = np.random.default_rng(d_in)
    directions = draw.normal(size=(N_PLANTED, d_in))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    amounts = np.zeros((n, N_PLANTED))
    for row in amounts:
        row[draw.choice(N_PLANTED, PER_TEXT, replace=False)] = draw.uniform(4, 8, size=PER_TEXT)
    return (amounts @ directions + 2 + 0.05 * draw.normal(size=(n, d_in))).astype(np.float32)


@lru_cache
def trained_sae(d_in: int, n_features: int, kind: str, *, tied: bool = True) -> SAE:
    """An SAE of one kind (topk, vanilla, jumprelu) on `planted_rows`; `tied` starts the encoder as the decoder."""
    rows = torch.from_numpy(planted_rows(d_in))
    scale = rows.std(0).mean()
    draw = torch.Generator().manual_seed(d_in + n_features)
    W_dec = torch.nn.functional.normalize(torch.randn(n_features, d_in, generator=draw), dim=1)
    W_enc = W_dec.T if tied else torch.randn(d_in, n_features, generator=draw) / d_in**0.5
    start = (W_enc, torch.zeros(n_features), W_dec, rows.mean(0) / scale)
    weights = [torch.nn.Parameter(tensor.clone()) for tensor in start]
    adam = torch.optim.Adam(weights, lr=RATE)
    for _ in range(STEPS):
        x = rows[torch.randint(len(rows), (BATCH,), generator=draw)] / scale
        W_enc, b_enc, W_dec, b_dec = weights
        z = (x - b_dec) @ W_enc + b_enc
        a = z.relu() if kind == "vanilla" else _top(z)
        loss = ((a @ W_dec + b_dec - x) ** 2).sum(1).mean() + (0.5 * a.sum(1).mean() if kind == "vanilla" else 0)
        adam.zero_grad()
        loss.backward()
        adam.step()
        with torch.no_grad():
            W_dec /= W_dec.norm(dim=1, keepdim=True)
    W_enc, b_enc, W_dec, b_dec = (tensor.detach() for tensor in weights)
    z = (rows / scale - b_dec) @ W_enc + b_enc
    gate: Gate = {"vanilla": Relu(), "topk": TopK(PER_TEXT)}.get(kind)
    if gate is None:
        gate = JumpReLU(scale * z.flatten().topk(PER_TEXT * len(rows)).values[-1].expand(n_features).clone())
    return SAE(W_enc, scale * b_enc, W_dec, scale * b_dec, gate, target_k=None if kind == "vanilla" else PER_TEXT)


def _top(z: torch.Tensor) -> torch.Tensor:
    largest = z.topk(PER_TEXT, dim=1)
    return torch.zeros_like(z).scatter(1, largest.indices, largest.values.relu())


# files of every format


class Example(NamedTuple):
    """A valid file of one format."""

    tensors: Tensors
    """By the names that the format gives them."""
    write: Callable[[Path, Tensors], Path]
    """Writes such tensors to a folder as the format's library does, and returns the source to load."""
    matrices: tuple[str, ...]
    """The names of encoder and decoder."""
    prefix: str = ""
    """What stands before the names where the file nests them."""
    asked: dict[str, Any] = {}  # noqa: RUF012
    """What the file leaves open."""


def examples(d_in: int, n_features: int) -> dict[str, Example]:
    """An example of each format, by the name of its module, all of SAEs trained for `planted_rows(d_in)`."""
    topk, vanilla, jumping = (trained_sae(d_in, n_features, kind) for kind in ("topk", "vanilla", "jumprelu"))
    threshold = jumping.gate.threshold
    lens = {"d_in": d_in, "d_sae": n_features, "dtype": "float32", "device": "cpu", "apply_b_dec_to_input": True}
    lens |= {"normalize_activations": "none", "metadata": {}}
    trained = {"decoder_init_norm": 0.1, "k": float(PER_TEXT), "rescale_acts_by_decoder_norm": False}
    early = {"hook_name": "blocks.8.hook_resid_pre", "activation_fn_str": "relu", "finetuning_scaling_factor": False}
    scope = {"hook_point_in": "h", "hook_point_out": "h", "d_model": d_in, "d_sae": n_features, "act_fn": "jumprelu"}
    scope |= {"jump_relu_threshold": float(threshold[0]), "norm_activation": "dataset-wise", "use_decoder_bias": True}
    scope |= {"dataset_average_activation_norm": {"in": d_in**0.5}, "apply_decoder_bias_to_pre_encoder": False}
    own = {"architecture": "foreign", "gate": "capped", "k": 2 * PER_TEXT, "d_in": d_in, "d_sae": n_features}
    own |= {"norm": "none", "subtract_b_dec": True, "shift_back": True, "trained_as": None, "target_k": PER_TEXT}
    opensae = {"architectures": ["OpenSae"], "hidden_size": d_in, "feature_size": n_features, "activation": "topk"}
    opensae |= {"k": PER_TEXT, "input_normalize": False, "normalize_shift_back": False, "input_normalize_eps": 1e-5}
    sparse = {"activation": "topk", "num_latents": n_features, "k": PER_TEXT, "d_in": d_in, "expansion_factor": 1}
    sparse |= {"normalize_decoder": True, "multi_topk": False, "skip_connection": False, "transcode": False}
    latent = {"sae_type": "JUMPRELU", "num_latents": n_features, "k": PER_TEXT, "d_in": d_in, "expansion_factor": 1}
    thesis = {"sae_type": "jumprelu", "act_size": d_in, "dict_size": n_features, "input_unit_norm": False, "top_k": 3}
    trainer = {"dict_class": "BatchTopKSAE", "activation_dim": d_in, "dict_size": n_features, "k": PER_TEXT}
    hypotheses = {"input_dim": d_in, "m_total_neurons": n_features, "k_active_neurons": PER_TEXT}
    hypotheses |= {"use_batch_topk": False}
    csr = {"input_dim": d_in, "hidden_dim": n_features, "k": PER_TEXT, "k_aux": 512, "normalize": False}
    return {
        "own": Example(_plain(jumping) | {"threshold": threshold}, _safe(own), ("W_enc", "W_dec")),
        "saelens_training": Example(
            _plain(jumping) | {"topk_threshold": threshold[0].double()},
            _safe(lens | trained | {"architecture": "batchtopk"}),
            ("W_enc", "W_dec"),
        ),
        "saelens_old": Example(_plain(vanilla), _safe(lens | early | {"architecture": "standard"}), ("W_enc", "W_dec")),
        "saelens": Example(
            _plain(jumping) | {"threshold": threshold}, _safe(lens | {"architecture": "jumprelu"}), ("W_enc", "W_dec")
        ),
        "gemma_scope": Example(_uncentred(_plain(jumping)) | {"threshold": threshold}, _npz, ("W_enc", "W_dec")),
        "llama_scope": Example(
            _linear(_uncentred(_plain(jumping)), b_dec="decoder.bias"),
            _safe(scope, "checkpoints/final.safetensors", "hyperparams.json"),
            ("encoder.weight", "decoder.weight"),
        ),
        "dictionary_learning": Example(
            _linear(_plain(jumping)) | {"k": torch.tensor(PER_TEXT, dtype=torch.int32), "threshold": threshold[0]},
            _pt("ae.pt", {"trainer": trainer}),
            ("encoder.weight", "decoder.weight"),
        ),
        "batchtopk": Example(
            _uncentred(_plain(jumping)) | {"jumprelu.log_threshold": threshold.log()},
            _pt("sae.pt", thesis),
            ("W_enc", "W_dec"),
        ),
        "mats": Example(_plain(vanilla), _mats(d_in, n_features), ("W_enc", "W_dec"), "state_dict."),
        "opensae": Example(
            _turned(_plain(topk)), _safe(opensae, "model.safetensors", "config.json"), ("encoder.weight", "W_dec")
        ),
        "latent_sae": Example(
            _turned(_plain(jumping)) | {"log_threshold": threshold.log()},
            _safe(latent, "sae.safetensors"),
            ("encoder.weight", "W_dec"),
        ),
        "sparsify": Example(_turned(_plain(topk)), _safe(sparse, "sae.safetensors"), ("encoder.weight", "W_dec")),
        "openai": Example(
            _biases(_linear(_plain(vanilla)), "latent_bias", "pre_bias") | _seen(n_features) | _counted(n_features),
            _pt("location.pt", beside={"activation": "ReLU", "activation_state_dict": OrderedDict()}),
            ("encoder.weight", "decoder.weight"),
        ),
        "hypothesaes": Example(
            _biases(_linear(_plain(topk)), "neuron_bias", "input_bias") | {"threshold": torch.tensor(0.0)},
            _pt("SAE.pt", inside="state_dict", beside={"config": hypotheses}),
            ("encoder.weight", "decoder.weight"),
            "state_dict.",
        ),
        "sentence_transformers": Example(
            _tied(topk) | _seen(n_features),
            _safe(csr, "model.safetensors", "config.json"),
            ("decoder.linear.weight",),
        ),
        "saerch": Example(
            _biases(_linear(_plain(topk)), "latent_bias", "pre_bias"),
            _pt("weights.pth"),
            ("encoder.weight", "decoder.weight"),
            asked={"k": PER_TEXT},
        ),
    }


def _plain(sae: SAE) -> Tensors:
    return {"W_enc": sae.W_enc, "b_enc": sae.b_enc, "W_dec": sae.W_dec, "b_dec": sae.b_dec}


def _uncentred(plain: Tensors) -> Tensors:
    """The same SAE for a format that does not take b_dec from its input."""
    return plain | {"b_enc": plain["b_enc"] - plain["b_dec"] @ plain["W_enc"]}


def _turned(plain: Tensors) -> Tensors:
    """With the encoder as a linear layer keeps it."""
    encoder = {"encoder.weight": plain["W_enc"].T, "encoder.bias": plain["b_enc"]}
    return encoder | {"W_dec": plain["W_dec"], "b_dec": plain["b_dec"]}


def _linear(plain: Tensors, b_dec: str = "b_dec") -> Tensors:
    """With both matrices as linear layers keep them."""
    encoder = {"encoder.weight": plain["W_enc"].T, "encoder.bias": plain["b_enc"]}
    return encoder | {"decoder.weight": plain["W_dec"].T, b_dec: plain["b_dec"]}


def _biases(linear: Tensors, b_enc: str, b_dec: str) -> Tensors:
    matrices = {name: linear[name] for name in ("encoder.weight", "decoder.weight")}
    return matrices | {b_enc: linear["encoder.bias"], b_dec: linear["b_dec"]}


def _tied(sae: SAE) -> Tensors:
    return {"decoder.linear.weight": sae.W_dec, "latent_bias": sae.b_enc, "pre_bias": sae.b_dec}


def _seen(n_features: int) -> Tensors:
    return {"stats_last_nonzero": torch.arange(n_features)}


def _counted(n_features: int) -> Tensors:
    return {"latents_activation_frequency": torch.ones(n_features), "latents_mean_square": torch.ones(n_features)}


def _safe(config: dict[str, Any], name: str = "sae_weights.safetensors", config_name: str = "cfg.json") -> Callable:
    def write(folder: Path, tensors: Tensors) -> Path:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        save_file({key: value.contiguous() for key, value in tensors.items()}, folder / name)
        (folder / config_name).write_text(json.dumps(config))
        return folder

    return write


def _npz(folder: Path, tensors: Tensors) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "params.npz", **{name: value.contiguous().numpy() for name, value in tensors.items()})
    return folder


def _pt(name: str, config: Any = None, *, inside: str = "", beside: dict[str, Any] | None = None) -> Callable:
    def write(folder: Path, tensors: Tensors) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        state = OrderedDict((key, value.clone(memory_format=torch.contiguous_format)) for key, value in tensors.items())
        torch.save({inside: state, **(beside or {})} if inside else state | (beside or {}), folder / name)
        if config:
            (folder / "config.json").write_text(json.dumps(config))
        return folder

    return write


def _mats(d_in: int, n_features: int) -> Callable:
    def write(folder: Path, tensors: Tensors) -> Path:
        module = types.ModuleType("sae_training.config")
        module.LanguageModelSAERunnerConfig = type("LanguageModelSAERunnerConfig", (), {"__module__": module.__name__})
        config = module.LanguageModelSAERunnerConfig()
        config.__dict__ |= {"d_in": d_in, "d_sae": n_features, "dtype": torch.float32}
        sys.modules[module.__name__] = module
        sys.modules["sae_training"] = types.ModuleType("sae_training")
        try:
            return _pt("final_sae.pt", inside="state_dict", beside={"cfg": config})(folder, tensors)
        finally:
            del sys.modules[module.__name__], sys.modules["sae_training"]

    return write
