"""Names on the Hugging Face hub."""

from __future__ import annotations

from featurelib.schema import Refusal


def check_hub_id(name: str) -> None:
    """Refuse a name that nothing on the Hugging Face hub can have; whoever gave it has mistyped it, or a path."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # public, but not in its __all__

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        shown = name if len(name) <= 60 else f"{name[:60]}…"
        raise Refusal(
            f"'{shown}' is no file or folder here, and nothing on the Hugging Face hub can be called so (at most 96 "
            "letters, digits, '-', '_' and '.', without '--' or '..'); check the path or the name."
        ) from error
