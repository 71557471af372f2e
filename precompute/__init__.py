"""The verbs: offline stages that turn a corpus into a run that can be browsed."""
