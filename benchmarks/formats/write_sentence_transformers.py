"""Write SparseAutoEncoders with sentence-transformers' own code, and what it makes of some embeddings.

    python benchmarks/formats/write_sentence_transformers.py OUT EMBEDDINGS.npy

One case folder each (see case.py): the module alone in both of its file formats, and a whole SparseEncoder, whose
embedder is a table of random word vectors so that nothing has to be fetched. The trained ones use its own
reconstruction loss of CSR, without the contrastive part, which wants pairs of texts.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from case import D_IN, N_FEATURES, some_rows, write_case
from sentence_transformers import SparseEncoder
from sentence_transformers.sparse_encoder.losses.csr import CSRReconstructionLoss
from sentence_transformers.sparse_encoder.modules import SparseAutoEncoder
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

K = 8
STEPS, BATCH = 300, 512
WORDS = [f"word{number}" for number in range(40)]


def random_module(seed: int, k: int, **settings: bool) -> SparseAutoEncoder:
    """A module as its class starts it, its biases drawn."""
    torch.manual_seed(seed)
    module = SparseAutoEncoder(D_IN, N_FEATURES, k=k, k_aux=16, **settings)
    torch.nn.init.normal_(module.pre_bias, std=0.3)
    torch.nn.init.normal_(module.latent_bias, std=0.3)
    return module


def trained_module(rows: torch.Tensor, normalize: bool) -> SparseAutoEncoder:
    """A module trained on rows [n, d] with the library's reconstruction loss."""
    torch.manual_seed(1)
    module = SparseAutoEncoder(rows.shape[1], 512, k=16, k_aux=64, normalize=normalize)
    loss = CSRReconstructionLoss(model=None, beta=0.1)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
    module.train()
    for _ in range(STEPS):
        outputs = [module({"sentence_embedding": rows[torch.randint(len(rows), (BATCH,))]})]
        sum(loss.compute_loss_from_embeddings(outputs).values()).backward()
        optimizer.step()
        optimizer.zero_grad()
    return module.eval()


@torch.inference_mode()
def keep(module: SparseAutoEncoder, folder: Path, x: np.ndarray, note: str, *, safe: bool = True) -> None:
    """Write the module alone, as safetensors or as a pickle, and what it makes of x."""
    (folder / "sae").mkdir(parents=True, exist_ok=True)
    module.save(str(folder / "sae"), safe_serialization=safe)
    module = SparseAutoEncoder.load(str(folder / "sae"))
    module.eval()
    rows = torch.from_numpy(x)
    activations = module({"sentence_embedding": rows.clone()})["sentence_embedding"]
    output = module.decode(activations, module.prepare(rows)[1])
    note = f"sentence-transformers: SparseAutoEncoder {note}, {'safetensors' if safe else 'pytorch_model.bin'}"
    write_case(folder, x, activations.numpy(), output.numpy(), note)


@torch.inference_mode()
def keep_encoder(module: SparseAutoEncoder, folder: Path, note: str) -> None:
    """Write a whole SparseEncoder around the module, and what it makes of some texts."""
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token=WORDS[0]))
    tokenizer.pre_tokenizer = Whitespace()
    embedder = StaticEmbedding(tokenizer, embedding_dim=D_IN)
    SparseEncoder(modules=[embedder, module], device="cpu").save(str(folder / "sae"))
    model = SparseEncoder(str(folder / "sae"), device="cpu")
    draw = np.random.default_rng(3)
    texts = [" ".join(draw.choice(WORDS, 3)) for _ in range(100)]
    x = model[0](model[0].preprocess(texts))["sentence_embedding"]
    activations = model.encode(texts, convert_to_sparse_tensor=False)
    output = model[1].decode(activations, model[1].prepare(x)[1])
    note = f"sentence-transformers: {note}"
    write_case(folder, x.numpy(), activations.numpy(), output.numpy(), note)


def main() -> None:
    """Write all cases into the folder named on the command line."""
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    out, rows = Path(sys.argv[1]), np.load(sys.argv[2]).astype(np.float32)
    torch.set_num_threads(1)
    for seed, normalize in enumerate((False, True)):
        name = f"csr_{'normalised' if normalize else 'plain'}"
        module = random_module(seed, K, normalize=normalize)
        for safe in (True, False):
            keep(module, out / f"{name}{'' if safe else '_bin'}", some_rows(), f"{normalize=}, random", safe=safe)
        most = random_module(seed, 70, normalize=normalize)
        keep(most, out / f"{name}_most", some_rows(), f"k=70, {normalize=}, random")
        keep_encoder(module, out / f"{name}_encoder", f"SparseEncoder around a SparseAutoEncoder {normalize=}, random")
        trained = trained_module(torch.from_numpy(rows), normalize)
        keep(trained, out / f"{name}_trained", rows[:500], f"{normalize=}, trained {STEPS} steps")


if __name__ == "__main__":
    main()
