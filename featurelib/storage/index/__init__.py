"""The index of a generation: copies of its tables for questions about one feature or some texts, in microseconds.

Parquet is the truth and DuckDB its reader; but DuckDB takes some milliseconds for any question, and reads whole row
groups for one row. The index holds the same rows in SQLite, found by their keys, and activations, embeddings and
metadata values as arrays that are mapped into memory. It is made after a build, or when a server first opens the run,
and lies in the run's cache folder (or the user's temporary folder, where that one cannot be written). It is whole or
absent, and belongs to one manifest: a run that is rebuilt has another one. Without it DuckDB answers every question.
"""
