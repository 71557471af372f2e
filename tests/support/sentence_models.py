"""Small sentence-transformers models with random weights, saved to folders: one transformer, any modules behind it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "of", "galaxy", "graph", "black", "hole", "##s", "."]
VOCABULARY += [",", "-", "(", ")", ":", "<", ">", *LETTERS, *(f"##{letter}" for letter in LETTERS)]


def make_transformer(folder: Path, hidden: int = 16) -> Path:
    """A BERT of two layers with 48 positions, whose weights are large enough that tokens differ."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    torch.manual_seed(0)
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    tokenizer = BertTokenizerFast(vocab=str(folder / "vocab.txt"))
    sizes = {"hidden_size": hidden, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=48, initializer_range=0.3, **sizes)
    BertModel(config).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_model(folder: Path, transformer: Path, pooling: Any, behind: Sequence[Any] = (), **options: Any) -> Path:
    """The transformer with `pooling` (a mode, several, or a module) and the modules behind it, as a folder."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    first = Transformer(str(transformer))
    hidden = first.get_embedding_dimension()
    pooled = Pooling(hidden, pooling_mode=pooling) if isinstance(pooling, str | tuple) else pooling
    model = SentenceTransformer(modules=[first, pooled, *behind], device="cpu", **options)
    model.max_seq_length = 40
    model.save(str(folder), create_model_card=False)
    return folder


def save_static(folder: Path, behind: Sequence[Any] = (), hidden: int = 16) -> Path:
    """A StaticEmbedding of random vectors, which has no special tokens and no limit."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.pre_tokenizers import BertPreTokenizer

    torch.manual_seed(1)
    words = WordPiece({word: number for number, word in enumerate(VOCABULARY)}, unk_token="[UNK]")
    tokenizer = Tokenizer(words)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    static = StaticEmbedding(tokenizer, embedding_weights=torch.randn(len(VOCABULARY), hidden))
    SentenceTransformer(modules=[static, *behind], device="cpu").save(str(folder), create_model_card=False)
    return folder
