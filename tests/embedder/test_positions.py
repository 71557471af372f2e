"""The number of tokens that an embedder reads is what its learned positions hold, whatever its files say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from featurelib.embedder import load_embedder
from featurelib.schema import Refusal
from tests.support.sentence_models import VOCABULARY

ROWS = 48
"""Rows of the table of positions of each model here."""
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
LONG = "the galaxy of the black hole " * 20


class Kind(NamedTuple):
    """A kind of transformer, by the names of its classes, and its own settings."""

    name: str
    settings: dict[str, Any]
    model: str = "Model"


BERT = Kind("Bert", SMALL)
ROBERTA = Kind("Roberta", SMALL | {"pad_token_id": 0})
ROBERTA_PAD_1 = Kind("Roberta", SMALL | {"pad_token_id": 1})
XLM_ROBERTA = Kind("XLMRoberta", SMALL | {"pad_token_id": 1})
MPNET = Kind("MPNet", SMALL)
OPT = Kind("OPT", SMALL | {"ffn_dim": 32, "word_embed_proj_dim": 16})
QWEN = Kind("Qwen2", SMALL | {"num_key_value_heads": 2})
T5 = Kind("T5", {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}, "EncoderModel")


def save_plain(folder: Path, kind: Kind) -> Path:
    """A transformer of two layers with random weights, saved as transformers does: no limit of its own is written."""
    import torch
    import transformers

    torch.manual_seed(0)
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    tokenizer = transformers.BertTokenizerFast(vocab=str(folder / "vocab.txt"))
    rows = {} if kind.name == "T5" else {"max_position_embeddings": ROWS}
    settings = {"vocab_size": len(tokenizer), "bos_token_id": 2, "eos_token_id": 3} | kind.settings | rows
    config = getattr(transformers, f"{kind.name}Config")(**settings)
    getattr(transformers, f"{kind.name}{kind.model}")(config).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def raw_mean(folder: Path, n_tokens: int) -> np.ndarray:
    """The mean of the last hidden states of LONG's first tokens, by transformers alone."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    tokens = tokenizer(LONG, truncation=True, max_length=n_tokens, return_tensors="pt", return_token_type_ids=False)
    assert tokens["input_ids"].shape[1] == n_tokens
    with torch.inference_mode():
        states: np.ndarray = model(**tokens).last_hidden_state[0].mean(0).numpy()
    return states


@pytest.mark.parametrize(
    ("kind", "room"),
    [(BERT, 48), (ROBERTA, 47), (ROBERTA_PAD_1, 46), (XLM_ROBERTA, 46), (MPNET, 46), (OPT, 48)],
    ids=lambda value: value.name if isinstance(value, Kind) else str(value),
)
def test_a_model_without_a_limit_reads_as_many_tokens_as_it_has_positions_for(kind, room, tmp_path):
    folder = save_plain(tmp_path / "plain", kind)
    embedder = load_embedder(str(folder), device="cpu")
    assert embedder.facts.max_seq_length == room
    assert np.abs(embedder.embed([LONG])[0] - raw_mean(folder, room)).max() < 1e-5
    with pytest.raises((IndexError, RuntimeError), match="index|must match"):
        raw_mean(folder, room + 1)
    counts = embedder.tokens([LONG])
    assert counts.truncated[0] and LONG[: counts.cut[0]].split() == LONG.split()[: room - 2]


@pytest.mark.parametrize(("kind", "room"), [(BERT, 48), (XLM_ROBERTA, 46)], ids=["Bert", "XLMRoberta"])
def test_a_written_limit_that_is_larger_than_the_positions_gives_way_and_a_smaller_one_stands(kind, room, tmp_path):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    plain, folder = save_plain(tmp_path / "plain", kind), tmp_path / "written"
    modules = [Transformer(str(plain)), Pooling(16, pooling_mode="mean")]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder), create_model_card=False)
    for written, expected in ((512, room), (20, 20)):
        (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": written}))
        _write_tokenizer_limit(folder, written)
        embedder = load_embedder(str(folder), device="cpu")
        assert embedder.facts.max_seq_length == expected
        assert np.abs(embedder.embed([LONG])[0] - raw_mean(plain, expected)).max() < 1e-5


def _write_tokenizer_limit(folder: Path, limit: int) -> None:
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_max_length": limit}))


@pytest.mark.parametrize(("kind", "limit"), [(T5, None), (QWEN, ROWS)], ids=["T5", "Qwen2"])
def test_relative_and_rotary_positions_set_no_limit_of_their_own(kind, limit, tmp_path):
    folder = save_plain(tmp_path / "plain", kind)
    assert load_embedder(str(folder), device="cpu").facts.max_seq_length == limit
    longer = load_embedder(str(folder), max_seq_length=100, device="cpu")
    assert longer.facts.max_seq_length == 100 and np.isfinite(longer.embed([LONG])).all()


def test_more_tokens_than_there_are_positions_cannot_be_asked_for(tmp_path):
    folder = str(save_plain(tmp_path / "plain", ROBERTA))
    with pytest.raises(Refusal, match="--max-seq-length is 48 but plain has positions for 47"):
        load_embedder(folder, max_seq_length=48, device="cpu")
    assert load_embedder(folder, max_seq_length=47, device="cpu").facts.max_seq_length == 47


def test_a_model_that_does_not_fit_its_tokenizer_is_a_sentence(tmp_path):
    folder = save_plain(tmp_path / "plain", Kind("Bert", SMALL | {"vocab_size": 5}))
    with pytest.raises(Refusal, match="plain cannot embed even 'a a a a'.*download it again"):
        load_embedder(str(folder), device="cpu")
