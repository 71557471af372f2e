"""What tests of several rooms need."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The checkout."""
