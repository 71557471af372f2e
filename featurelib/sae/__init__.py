"""The sparse autoencoder: model, gates, training, evaluation, checkpoints."""
