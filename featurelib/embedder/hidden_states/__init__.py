"""Hidden states of a transformers model: where they are read, of which tokens, and pooled into an embedder."""

POOLINGS = ("mean", "last", "max", "none")
"""How the states of a text's tokens become its embedding; none keeps them apart."""
