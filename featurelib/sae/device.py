"""What depends on where an SAE computes: products in full float32, entries of tensors, gates that move."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

    from featurelib.sae.gates import Gate


def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return a @ b in full float32, also where training has allowed a GPU the ten bits of TF32."""
    import torch

    if a.device.type == "cpu":
        return a @ b
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        return a @ b
    finally:
        torch.set_float32_matmul_precision(before)


def find_true(mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the rows and the columns of the true entries of a mask [n, m], row by row: two int64 tensors."""
    import torch

    if mask.device.type != "cpu":
        rows, columns = mask.nonzero(as_tuple=True)
        return rows, columns
    # numpy skips what is false six times as fast as torch's nonzero.
    flat = np.flatnonzero(mask.numpy())
    rows_, columns_ = np.divmod(flat, max(1, mask.shape[1]))
    return torch.from_numpy(rows_), torch.from_numpy(columns_)


def take(a: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Return a[rows, columns].

    On the CPU numpy does it: torch wakes its threads for some ten thousand numbers, which costs more than it saves.
    """
    import torch

    if a.device.type != "cpu":
        return a[rows, columns]
    return torch.from_numpy(a.detach().numpy()[rows.numpy(), columns.numpy()])


def on_device(gate: Gate, device: str) -> Gate:
    """Return the gate with its parameters on a device."""
    parameters: dict[str, Any] = {name: tensor.to(device) for name, tensor in gate.tensors().items()}
    return replace(gate, **parameters) if parameters else gate  # type: ignore[type-var]
