"""The languages that texts are written in, and their words, also in scripts without spaces."""
