"""The sparse autoencoder: embedding → activations → reconstruction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from featurelib.sae.device import on_device, product
from featurelib.sae.parameters import check_parameters
from featurelib.sae.sparse import Sparse, csr, ordered
from featurelib.schema import Refusal

if TYPE_CHECKING:
    import numpy as np
    import torch

    from featurelib.sae.gates import Gate

NORM_EPS = 1e-5
BLOCK = 256
"""Rows of one matrix product. Every product has this many, the last one filled up with zeros, because the library that
multiplies picks another order of additions for another shape: so a text alone has the same bits as in its corpus."""
DEVICE_BLOCK = 4096
"""The same on a device other than the CPU, which smaller products would leave idle."""


class AtGate(NamedTuple):
    """Pre-activations, thresholds and whether features fire, for some rows; all [n, n_features]."""

    pre_activations: torch.Tensor
    """float32."""
    thresholds: torch.Tensor
    """What each pre-activation must exceed to fire, float32."""
    fires: torch.Tensor
    """Whether it does, bool."""


class Scale(NamedTuple):
    """What normalisation took from each row: x ≈ xn·std + mean."""

    mean: torch.Tensor
    """float32 [n, 1]."""
    std: torch.Tensor
    """float32 [n, 1]: the sample standard deviation of the row (with 1e-5 for standardise), or ‖x‖/√d_in for
    constant_norm_rescale."""


@dataclass(frozen=True, eq=False)
class SAE:
    """A sparse autoencoder in canonical form, for row vectors x [n, d_in].

        xn = norm(x)
        z  = (xn − p·b_dec) @ W_enc + b_enc        p = 1 if subtract_b_dec else 0
        a  = gate(z)
        x̂  = unnorm(a @ W_dec + b_dec) [+ x @ W_skip]

    norm is one of
        none                   xn = x
        layer_norm             xn = (x − mean) / (std + 1e-5), back: r·std + mean (per row, sample std)
        standardise            xn as layer_norm, back: r·(std + 1e-5) + mean
        constant_norm_rescale  xn = x·√d_in/‖x‖, back: r·‖x‖/√d_in
    and unnorm undoes it, or does nothing where shift_back is false.

    All parameters are float32, on the CPU unless `to` brought them elsewhere; wrong shapes and values that are not
    finite raise Refusal. What is given may lie anywhere; what is returned lies where the parameters do, but for Sparse,
    which is always on the CPU.
    """

    W_enc: torch.Tensor
    """Encoder, [d_in, n_features]."""
    b_enc: torch.Tensor
    """Encoder bias, [n_features]; zeros for a gated SAE."""
    W_dec: torch.Tensor
    """The features' directions, [n_features, d_in]."""
    b_dec: torch.Tensor
    """Decoder bias, [d_in]."""
    gate: Gate
    """What decides which features fire."""
    subtract_b_dec: bool = True
    """Whether b_dec is taken from the input before encoding."""
    norm: str = "none"
    """How each row is normalised before encoding."""
    shift_back: bool = True
    """Whether the reconstruction is un-normalised; OpenSAE's default is not, and is trained so."""
    W_skip: torch.Tensor | None = None
    """A linear map past the features, [d_in, d_in], as sparsify's skip connections have."""
    trained_as: str | None = None
    """The architecture it was trained as where its gate does not tell, such as batchtopk; None if unknown."""
    target_k: int | None = None
    """The L0 it was trained for, if known."""
    prefixes: tuple[int, ...] | None = None
    """Of a Matryoshka, the numbers of first features that each rebuild the texts alone, ascending, the last one whole;
    None where there are none, or where its file does not say."""

    def __post_init__(self) -> None:
        """Refuse parameters that do not fit together."""
        check_parameters(self)

    @property
    def d_in(self) -> int:
        """The dimension of the embeddings."""
        return self.W_enc.shape[0]

    @property
    def n_features(self) -> int:
        """How many features there are."""
        return self.W_enc.shape[1]

    @property
    def device(self) -> torch.device:
        """Where the parameters are and the products are made."""
        return self.W_enc.device

    @property
    def block(self) -> int:
        """The number of rows of one product."""
        return BLOCK if self.device.type == "cpu" else DEVICE_BLOCK

    def to(self, device: str) -> SAE:
        """Return this SAE with its parameters on a device, such as "cuda" or "cpu"; itself where they are there."""
        import torch

        if torch.device(device).type == self.device.type:
            return self
        tensors: dict[str, Any] = {
            field.name: value.to(device)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), torch.Tensor)
        }
        return replace(self, gate=on_device(self.gate, device), **tensors)

    @property
    def architecture(self) -> str:
        """The name of what it was trained as, else of its gate in SAELens' layout."""
        return self.trained_as or self.gate.name

    @property
    def k(self) -> int | None:
        """The L0 aimed at: the one it was trained for, or the gate's k; None if unknown."""
        return self.target_k or getattr(self.gate, "k", None)

    def thresholds(self) -> torch.Tensor:
        """Return the pre-activation that each feature must pass to fire, float32 [n_features]; 0 for relu and topk."""
        return self.gate.thresholds(self.n_features).to(self.device)

    def encode(self, x: torch.Tensor | np.ndarray) -> torch.Tensor:
        """Return the activations of embeddings x [n, d_in], dense float32 [n, n_features]."""
        import torch

        x = self._rows(x)
        return torch.cat([self.gate(z) for z in self.gate_inputs(x)]) if len(x) else x.new_zeros(0, self.n_features)

    def encode_sparse(self, x: torch.Tensor | np.ndarray) -> Sparse:
        """Return the activations of embeddings x [n, d_in] that are not zero; memory is bounded by a block of rows."""
        import torch

        entries = [Sparse(torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), torch.zeros(0))]
        first = 0
        for z in self.gate_inputs(x):
            rows, feature_ids, activations = (column.cpu() for column in self.gate.entries(z))
            entries.append(Sparse(rows + first, feature_ids, activations))
            first += len(z)
        return Sparse(*(torch.cat(column) for column in zip(*entries, strict=True)))

    def pre_activations(self, x: torch.Tensor | np.ndarray) -> torch.Tensor:
        """Return what each activation would be were its gate open, float32 [n, n_features]."""
        import torch

        x = self._rows(x)
        blocks = [self.gate.pre_activations(z) for z in self.gate_inputs(x)]
        return torch.cat(blocks) if len(x) else x.new_zeros(0, self.n_features)

    def at_gate(self, x: torch.Tensor | np.ndarray) -> Iterator[AtGate]:
        """Yield what happens at the gate for embeddings x [n, d_in], a block of rows at a time, in order."""
        for z in self.gate_inputs(x):
            pre_activations, thresholds = self.gate.pre_activations(z), self.gate.row_thresholds(z)
            yield AtGate(pre_activations, thresholds.expand_as(pre_activations), self.gate(z) > 0)

    def reconstruct(self, x: torch.Tensor | np.ndarray) -> torch.Tensor:
        """Return the reconstruction of embeddings x [n, d_in] in the raw space, float32 [n, d_in]."""
        import torch

        x = self._rows(x)
        blocks = [
            self.rebuild(x[number * self.block : (number + 1) * self.block], self.gate(z))
            for number, z in enumerate(self.gate_inputs(x))
        ]
        return torch.cat(blocks) if len(x) else x

    def rebuild(self, x: torch.Tensor | np.ndarray, a: torch.Tensor | np.ndarray | Sparse) -> torch.Tensor:
        """Return the reconstruction of embeddings x [n, d_in] from their activations a, raw space, float32 [n, d_in].

        a is what `encode` or `encode_sparse` gave for x, or was changed from it.
        """
        x = self._rows(x)
        rebuilt = self.decode(a, self.scale(x) if self.shift_back else None, n=len(x))
        return rebuilt if self.W_skip is None else rebuilt + product(x, self.W_skip)

    def decode(
        self, a: torch.Tensor | np.ndarray | Sparse, scale: Scale | None = None, *, n: int | None = None
    ) -> torch.Tensor:
        """Return what activations a decode to, float32 [n, d_in].

        a is dense [n, n_features] or Sparse, in any order; then `n` says how many rows there are (default: the length
        of `scale`, else the last row that has a feature, plus one). Without `scale` the answer stays in the normalised
        space, which for norm "none" is the raw one. A skip connection is no part of it: `rebuild` adds that.
        """
        import torch

        if isinstance(a, Sparse):
            last = int(a.rows.max()) + 1 if len(a.rows) else 0
            n = n if n is not None else last if scale is None else len(scale.mean)
            rows, feature_ids, values = (column.to(self.device) for column in ordered(a, n, self.n_features))
            r = csr(rows, feature_ids, values, (n, self.n_features)) @ self.W_dec
        else:
            a = torch.as_tensor(a).to(self.device, torch.float32)
            if a.ndim != 2 or a.shape[1] != self.n_features:
                raise Refusal(
                    f"activations of shape {tuple(a.shape)} do not fit this SAE; give [n, {self.n_features}]."
                )
            r = product(a, self.W_dec)
        r = r + self.b_dec
        return r if scale is None else r * scale.std + scale.mean

    def scale(self, x: torch.Tensor | np.ndarray) -> Scale | None:
        """Return what normalisation takes from each row of x [n, d_in], or None when this SAE does not normalise."""
        import torch

        x = self._rows(x)
        if self.norm == "none":
            return None
        if self.norm in ("layer_norm", "standardise"):
            mean = x.mean(1, keepdim=True)
            std = (x - mean).std(1, keepdim=True)
            return Scale(mean, std + NORM_EPS if self.norm == "standardise" else std)
        length = x.norm(dim=1, keepdim=True) / self.d_in**0.5
        return Scale(torch.zeros_like(length), torch.where(length > 0, length, 1.0))

    def normalise(self, x: torch.Tensor | np.ndarray) -> torch.Tensor:
        """Return norm(x) of embeddings x [n, d_in], float32 [n, d_in]; x itself where this SAE does not normalise."""
        x = self._rows(x)
        scale = self.scale(x)
        if scale is None:
            return x
        return (x - scale.mean) / (scale.std + (NORM_EPS if self.norm == "layer_norm" else 0.0))

    def gate_inputs(self, x: torch.Tensor | np.ndarray) -> Iterator[torch.Tensor]:
        """Yield z, [block, n_features] (the last one shorter), for the rows of embeddings x [n, d_in] in order."""
        import torch

        x, block = self._rows(x), self.block
        shift = self.b_dec if self.subtract_b_dec else 0.0
        for start in range(0, len(x), block):
            rows = x[start : start + block]
            centred = (rows if self.norm == "none" else self.normalise(rows)) - shift
            n = len(centred)
            padded = torch.nn.functional.pad(centred, (0, 0, 0, block - n)) if n < block else centred
            z = product(padded, self.W_enc)
            z += self.b_enc
            yield z[:n]

    def _rows(self, x: torch.Tensor | np.ndarray) -> torch.Tensor:
        """Return x as float32 [n, d_in], or raise Refusal."""
        import torch

        x = torch.as_tensor(x).to(self.device, torch.float32)
        if x.ndim != 2 or x.shape[1] != self.d_in:
            size = f"dimension {x.shape[1]}" if x.ndim == 2 else f"shape {tuple(x.shape)}"
            raise Refusal(
                f"the embeddings have {size} but this SAE was trained on dimension {self.d_in}; "
                f"give [n, {self.d_in}] or choose an SAE made for these embeddings."
            )
        if not torch.isfinite(x).all():
            raise Refusal("the embeddings hold NaN or infinite values; embed these texts again before encoding them.")
        return x
