"""classify: which labels do features predict, beside embeddings, words and chance.

classify_config  what is to be classified, from flags or a YAML file
inputs           a run's texts, activations, embeddings and reconstructions
experiments      one experiment after the other, and their tables
"""
