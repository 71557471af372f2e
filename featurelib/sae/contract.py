"""OpenSAE's interface (THU-KEG) by its own names, on an SAE of any format that is read here.

    sae = OpenSae.from_pretrained("a file, a folder, a run or a hub id")
    encoded = sae.encode(hidden)
    sae.decode(encoded.sparse_feature_indices, encoded.sparse_feature_activations,
               encoded.input_mean, encoded.input_std).sae_output

Its formulas are those of modeling_open_sae.py. What differs: it computes in float32 on the CPU, where OpenSAE's decode
needs CUDA; it has jumprelu, which OpenSAE cannot construct; an SAE without normalisation decodes whatever
normalize_shift_back says; and it is for SAEs that are trained: `loss` is that of the reconstruction, without OpenSAE's
auxiliary loss (which compares with the error of the wrong sign).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from featurelib.schema import Refusal

if TYPE_CHECKING:
    import torch

    from featurelib.sae.model import SAE


@dataclass(frozen=True, eq=False)
class SaeEncoderOutput:
    """What `encode` gives for hidden states [..., d]; k is that of the gate, else the most that fire on one of them."""

    sparse_feature_activations: torch.Tensor
    """float32 [..., k], the strongest first; 0 where fewer fire."""
    sparse_feature_indices: torch.Tensor
    """int64 [..., k]: the features of these activations, each once."""
    all_features: torch.Tensor | None
    """float32 [..., n_features]: max(pre-activation, 0) before the gate; None unless asked for."""
    input_mean: torch.Tensor | None
    """float32 [..., 1]: what normalisation took from each state; None where `decode` does not give it back."""
    input_std: torch.Tensor | None
    """float32 [..., 1]: what it divided by, less the 1e-5 that OpenSAE's way back adds again; None likewise."""


@dataclass(frozen=True, eq=False)
class SaeDecoderOutput:
    """What `decode` gives."""

    sae_output: torch.Tensor
    """float32 [..., d]: the reconstruction."""


@dataclass(frozen=True, eq=False)
class SaeForwardOutput(SaeEncoderOutput, SaeDecoderOutput):
    """What `forward` gives: both, and the loss."""

    reconstruction_loss: torch.Tensor
    """float32 []: see `OpenSae.reconstruction_loss`."""
    loss: torch.Tensor
    """The same: an SAE that is not being trained has no other."""


class ReconstructionLoss(NamedTuple):
    """The three parts that OpenSAE's reconstruction_loss returns."""

    reconstruction_error: torch.Tensor
    """float32 [n, d]: sae_output − hidden."""
    l2_loss: torch.Tensor
    """float32 []: the mean over dimensions of the squared error summed over the states."""
    reconstruction_loss: torch.Tensor
    """float32 []: the same, each dimension's sum over its variance."""


class OpenSae:
    """An SAE with OpenSAE's interface; made of one that is loaded, or by `from_pretrained`."""

    def __init__(self, sae: SAE) -> None:
        self.sae = sae

    @classmethod
    def from_pretrained(cls, source: str | Path, **options: Any) -> OpenSae:
        """Load the SAE at `source`, whatever library wrote it; `options` are those of `featurelib.load_sae`."""
        from featurelib.sae.checkpoints import load_sae

        return cls(load_sae(source, **options))

    def encode(self, hidden: Any, return_all_features: bool = False) -> SaeEncoderOutput:
        """Return the features of hidden states [..., d], of any dtype; Refusal for another d, NaN and infinity."""
        rows, leading = self._rows(hidden)
        activations = self.sae.encode(rows)
        top = activations.topk(self._width(activations), dim=1)
        every = self.sae.pre_activations(rows).relu() if return_all_features else None
        every = None if every is None else every.reshape(*leading, self.sae.n_features)
        scale = self.sae.scale(rows) if self.sae.shift_back and len(rows) else None
        # the way back of "standardise" multiplies by std + eps, and that sum is what `scale` holds
        added = self._eps if scale is not None else 0.0
        return SaeEncoderOutput(
            sparse_feature_activations=top.values.reshape(*leading, top.values.shape[1]),
            sparse_feature_indices=top.indices.reshape(*leading, top.values.shape[1]),
            all_features=every,
            input_mean=None if scale is None else scale.mean.reshape(*leading, 1),
            input_std=None if scale is None else (scale.std - added).reshape(*leading, 1),
        )

    def decode(
        self, feature_indices: Any, feature_activations: Any, input_mean: Any = None, input_std: Any = None
    ) -> SaeDecoderOutput:
        """Return what features [..., k] with activations [..., k] decode to, float32 [..., d].

        A feature that is named twice counts with the sum. Where the SAE gives back what normalisation took
        (`input_mean` and `input_std` of `encode`, [..., 1]) both are needed. Raises Refusal without them, for shapes
        that differ, and for a feature that is not there. A skip connection is no part of it.
        """
        import torch

        from featurelib.sae.model import Scale
        from featurelib.sae.sparse import Sparse

        indices = torch.as_tensor(feature_indices, dtype=torch.int64).cpu()
        activations = torch.as_tensor(feature_activations, dtype=torch.float32).cpu()
        if indices.ndim < 1 or indices.shape != activations.shape:
            raise Refusal(
                f"feature_indices have the shape {tuple(indices.shape)} and feature_activations "
                f"{tuple(activations.shape)}; give two tensors [..., k]."
            )
        leading, k = indices.shape[:-1], indices.shape[-1]
        n = math.prod(leading)
        scale = None
        if self.sae.norm != "none" and self.sae.shift_back:
            if input_mean is None or input_std is None:
                raise Refusal(
                    "this SAE gives back the mean and deviation of its input; give input_mean and input_std, "
                    "which encode() returns."
                )
            mean, std = (
                torch.as_tensor(value, dtype=torch.float32).cpu().reshape(n, 1) for value in (input_mean, input_std)
            )
            scale = Scale(mean, std + self._eps)
        sparse = Sparse(torch.arange(n).repeat_interleave(k), indices.flatten(), activations.flatten())
        return SaeDecoderOutput(self.sae.decode(sparse, scale, n=n).reshape(*leading, self.sae.d_in))

    def reconstruction_loss(
        self, hidden: Any, hidden_variance: Any = None, sae_output: Any = None
    ) -> ReconstructionLoss:
        """Return the loss of a reconstruction of hidden states [n, d]: the mean over d of Σ_n (x̂ − x)² / variance.

        `hidden_variance` [d] is Σ_n (x − x̄)², at least 1, where it is not given, and `sae_output` [n, d] the SAE's own
        reconstruction. Raises Refusal for shapes that differ.
        """
        import torch

        rows, _ = self._rows(hidden)
        output = self.sae.reconstruct(rows) if sae_output is None else torch.as_tensor(sae_output).float().cpu()
        output = output.reshape(-1, self.sae.d_in)
        if output.shape != rows.shape:
            raise Refusal(f"sae_output is {tuple(output.shape)} but hidden {tuple(rows.shape)}; give both of the same.")
        if hidden_variance is None:
            hidden_variance = (rows - rows.mean(0)).pow(2).sum(0).clamp(min=1.0)
        error = output - rows
        squares = error.pow(2).sum(0)
        return ReconstructionLoss(error, squares.mean(), (squares / torch.as_tensor(hidden_variance)).mean())

    def forward(self, hidden: Any, return_all_features: bool = False) -> SaeForwardOutput:
        """Return features, reconstruction and loss of hidden states [..., d]; Refusal as `encode`."""
        encoded = self.encode(hidden, return_all_features)
        output = self.decode(
            encoded.sparse_feature_indices, encoded.sparse_feature_activations, encoded.input_mean, encoded.input_std
        ).sae_output
        if self.sae.W_skip is not None:
            rows, leading = self._rows(hidden)
            output = output + (rows @ self.sae.W_skip).reshape(*leading, self.sae.d_in)
        loss = self.reconstruction_loss(hidden, sae_output=output).reconstruction_loss
        return SaeForwardOutput(sae_output=output, **vars(encoded), reconstruction_loss=loss, loss=loss)

    __call__ = forward

    @property
    def _eps(self) -> float:
        """What the way back adds to the deviation: only OpenSAE's own normalisation does."""
        from featurelib.sae.model import NORM_EPS

        return NORM_EPS if self.sae.norm == "standardise" else 0.0

    def _width(self, activations: torch.Tensor) -> int:
        """How many columns hold what fires."""
        k = getattr(self.sae.gate, "k", None)
        if k is not None:
            return int(k)
        fired = (activations > 0).sum(1)
        return max(1, int(fired.max())) if len(fired) else 1

    def _rows(self, hidden: Any) -> tuple[torch.Tensor, tuple[int, ...]]:
        """The states as float32 [n, d] on the CPU, and the shape that stood for n."""
        import torch

        states = torch.as_tensor(hidden).detach().to("cpu", torch.float32)
        if states.ndim < 1 or states.shape[-1] != self.sae.d_in:
            raise Refusal(f"hidden has the shape {tuple(states.shape)}; this SAE reads [..., {self.sae.d_in}].")
        return states.reshape(-1, self.sae.d_in), tuple(states.shape[:-1])
