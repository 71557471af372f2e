"""The head of a section says nothing twice."""

from __future__ import annotations

import pytest

from featurelib.ui.kit import elements


def test_a_feature_without_a_name_is_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    monkeypatch.setattr(elements, "html", lambda content: drawn.append(str(content)))
    elements.heading("feature 22", "feature 22")
    elements.heading("black holes", "feature 22")
    assert [content.count("feature 22") for content in drawn] == [1, 1]
