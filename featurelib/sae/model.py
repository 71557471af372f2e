"""The sparse autoencoder: embedding → activations → reconstruction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from featurelib.sae.sparse import Sparse, csr, ordered
from featurelib.schema import Refusal

if TYPE_CHECKING:
    import numpy as np
    import torch

    from featurelib.sae.gates import Gate

NORMS = ("none", "layer_norm", "standardise", "constant_norm_rescale")
NORM_EPS = 1e-5
BLOCK = 256
"""Rows of one matrix product. Every product has this many, the last one filled up with zeros, because the library that
multiplies picks another order of additions for another shape: so a text alone has the same bits as in its corpus."""


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

    All parameters are float32 on the CPU; wrong shapes and values that are not finite raise Refusal.
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
        _check_parameters(self)

    @property
    def d_in(self) -> int:
        """The dimension of the embeddings."""
        return self.W_enc.shape[0]

    @property
    def n_features(self) -> int:
        """How many features there are."""
        return self.W_enc.shape[1]

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
        return self.gate.thresholds(self.n_features)

    def encode(self, x: torch.Tensor | np.ndarray) -> torch.Tensor:
        """Return the activations of embeddings x [n, d_in], dense float32 [n, n_features]."""
        import torch

        x = self._rows(x)
        return torch.cat([self.gate(z) for z in self._blocks(x)]) if len(x) else x.new_zeros(0, self.n_features)

    def encode_sparse(self, x: torch.Tensor | np.ndarray) -> Sparse:
        """Return the activations of embeddings x [n, d_in] that are not zero; memory is bounded by a block of rows."""
        import torch

        x = self._rows(x)
        entries = [(x.new_zeros(0, dtype=torch.int64),) * 2 + (x.new_zeros(0),)]
        for number, z in enumerate(self._blocks(x)):
            a = self.gate(z)
            rows, feature_ids = a.nonzero(as_tuple=True)
            entries.append((rows + number * BLOCK, feature_ids, a[rows, feature_ids]))
        return Sparse(*(torch.cat(column) for column in zip(*entries, strict=True)))

    def pre_activations(self, x: torch.Tensor | np.ndarray) -> torch.Tensor:
        """Return what each activation would be were its gate open, float32 [n, n_features]."""
        import torch

        x = self._rows(x)
        blocks = [self.gate.pre_activations(z) for z in self._blocks(x)]
        return torch.cat(blocks) if len(x) else x.new_zeros(0, self.n_features)

    def at_gate(self, x: torch.Tensor | np.ndarray) -> Iterator[AtGate]:
        """Yield what happens at the gate for embeddings x [n, d_in], a block of 256 rows at a time, in order."""
        for z in self._blocks(self._rows(x)):
            pre_activations, thresholds = self.gate.pre_activations(z), self.gate.row_thresholds(z)
            yield AtGate(pre_activations, thresholds.expand_as(pre_activations), self.gate(z) > 0)

    def reconstruct(self, x: torch.Tensor | np.ndarray) -> torch.Tensor:
        """Return the reconstruction of embeddings x [n, d_in] in the raw space, float32 [n, d_in]."""
        import torch

        x = self._rows(x)
        blocks = [
            self.rebuild(x[number * BLOCK : (number + 1) * BLOCK], self.gate(z))
            for number, z in enumerate(self._blocks(x))
        ]
        return torch.cat(blocks) if len(x) else x

    def rebuild(self, x: torch.Tensor | np.ndarray, a: torch.Tensor | np.ndarray | Sparse) -> torch.Tensor:
        """Return the reconstruction of embeddings x [n, d_in] from their activations a, raw space, float32 [n, d_in].

        a is what `encode` or `encode_sparse` gave for x, or was changed from it.
        """
        x = self._rows(x)
        rebuilt = self.decode(a, self.scale(x) if self.shift_back else None, n=len(x))
        return rebuilt if self.W_skip is None else rebuilt + x @ self.W_skip

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
            r = csr(*ordered(a, n, self.n_features), (n, self.n_features)) @ self.W_dec
        else:
            a = torch.as_tensor(a, dtype=torch.float32)
            if a.ndim != 2 or a.shape[1] != self.n_features:
                raise Refusal(
                    f"activations of shape {tuple(a.shape)} do not fit this SAE; give [n, {self.n_features}]."
                )
            r = a @ self.W_dec
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

    def _blocks(self, x: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yield z, [BLOCK, n_features] (the last one shorter), for the rows of x in order."""
        import torch

        shift = self.b_dec if self.subtract_b_dec else 0.0
        for start in range(0, len(x), BLOCK):
            centred = self.normalise(x[start : start + BLOCK]) - shift
            n = len(centred)
            padded = torch.nn.functional.pad(centred, (0, 0, 0, BLOCK - n)) if n < BLOCK else centred
            yield (padded @ self.W_enc + self.b_enc)[:n]

    def _rows(self, x: torch.Tensor | np.ndarray) -> torch.Tensor:
        """Return x as float32 [n, d_in], or raise Refusal."""
        import torch

        x = torch.as_tensor(x).to("cpu", torch.float32)
        if x.ndim != 2 or x.shape[1] != self.d_in:
            size = f"dimension {x.shape[1]}" if x.ndim == 2 else f"shape {tuple(x.shape)}"
            raise Refusal(
                f"the embeddings have {size} but this SAE was trained on dimension {self.d_in}; "
                f"give [n, {self.d_in}] or choose an SAE made for these embeddings."
            )
        if not torch.isfinite(x).all():
            raise Refusal("the embeddings hold NaN or infinite values; embed these texts again before encoding them.")
        return x


def _check_parameters(sae: SAE) -> None:
    """Refuse an SAE whose parameters do not fit together, or are not finite."""
    import torch

    if sae.W_enc.ndim != 2:
        raise Refusal(f"W_enc has shape {tuple(sae.W_enc.shape)}; expected [d_in, n_features].")
    d_in, n_features = sae.W_enc.shape
    expected = {"b_enc": (n_features,), "W_dec": (n_features, d_in), "b_dec": (d_in,)}
    named = {name: getattr(sae, name) for name in expected} | sae.gate.tensors()
    if sae.W_skip is not None:
        expected["W_skip"], named["W_skip"] = (d_in, d_in), sae.W_skip
    if not d_in or not n_features:
        raise Refusal(f"W_enc has shape {(d_in, n_features)}; an SAE has at least one dimension and one feature.")
    for name, tensor in named.items():
        shape = expected.get(name, (n_features,))
        if tuple(tensor.shape) != shape:
            raise Refusal(
                f"{name} has shape {tuple(tensor.shape)} but W_enc {(d_in, n_features)} asks for {shape}: "
                "the weights are transposed or belong to different SAEs; save them again as W_enc [d_in, n_features]."
            )
    for name, tensor in {"W_enc": sae.W_enc, **named}.items():
        if tensor.dtype != torch.float32:
            raise Refusal(f"{name} is {tensor.dtype}; expected float32.")
        if not torch.isfinite(tensor).all():
            raise Refusal(f"{name} holds NaN or infinite values; this SAE is damaged, fetch or train it again.")
    _check_settings(sae, d_in, n_features)


def _check_settings(sae: SAE, d_in: int, n_features: int) -> None:
    """Refuse a gate or a norm that does not fit these sizes."""
    k = getattr(sae.gate, "k", None)
    if k is not None and not 1 <= k <= n_features:
        raise Refusal(f"k is {k} but the SAE has {n_features} features; k must be between 1 and {n_features}.")
    if k is not None and sae.gate.name == "groupmax" and n_features % k:
        raise Refusal(f"{n_features} features do not fall into {k} groups of one size; k must divide their number.")
    if sae.norm not in NORMS:
        raise Refusal(f"the normalisation '{sae.norm}' is not known; expected one of {', '.join(NORMS)}.")
    if sae.norm in ("layer_norm", "standardise") and d_in < 2:
        raise Refusal(f"the normalisation '{sae.norm}' divides by a spread that one dimension has not; d_in is {d_in}.")
