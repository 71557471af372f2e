"""A JSON file that lies beside the weights of an SAE."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from featurelib.sae.pickles.values import shown
from featurelib.sae.weights.safetensors_file import once
from featurelib.schema import Refusal

MAX_BYTES = 1 << 20


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file of at most 1 MiB."""
    if path.stat().st_size > MAX_BYTES:
        raise Refusal(f"{path.name} has {path.stat().st_size} bytes; the config of an SAE is short: fetch it again.")
    try:
        content = json.loads(path.read_bytes(), object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise Refusal(f"{path.name} is not JSON ({shown(error)}); fetch or save this SAE again.") from error
    if not isinstance(content, dict):
        raise Refusal(f"{path.name} holds no JSON object; fetch or save this SAE again.")
    return content
