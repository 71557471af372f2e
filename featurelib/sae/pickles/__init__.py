"""Reads a pickle without running it; the parent's side is `featurelib.sae.weights.pickle_file`.

Nothing is ever unpickled: the opcodes are followed by a small machine of our own whose calls make inert values. It runs
in a process of its own, from the folder beside (`python -E -s -S -m pickles FILE FOLDER`), with the standard library
alone: no site packages, so a start takes milliseconds and the memory limit can be tight. Hence the relative imports.
"""
