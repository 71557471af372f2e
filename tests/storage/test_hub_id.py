"""Names that nothing on the hub can have are refused in one sentence wherever a hub id may stand."""

from __future__ import annotations

import pytest

from featurelib.corpus import identify
from featurelib.embedder import load_embedder
from featurelib.sae.sources.find import find_place
from featurelib.schema import Refusal
from featurelib.storage.hub_id import check_hub_id

IMPOSSIBLE = ["a--b/c", "org/name..x", f"org/{'x' * 97}", "org/-name", "org/name.", "o..rg/name"]


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_a_name_that_cannot_be_on_the_hub_is_refused(name: str) -> None:
    with pytest.raises(Refusal, match="nothing on the Hugging Face hub can be called so") as refused:
        check_hub_id(name)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("name", ["org/name", "name", "a-b.c/d_e", f"o/{'x' * 90}"])
def test_a_name_that_may_be_there_passes(name: str) -> None:
    check_hub_id(name)


@pytest.mark.parametrize("opened", [identify, load_embedder, find_place])
def test_corpora_embedders_and_saes_refuse_it_alike(opened) -> None:
    with pytest.raises(Refusal, match="nothing on the Hugging Face hub can be called so"):
        opened("a--b/c")
