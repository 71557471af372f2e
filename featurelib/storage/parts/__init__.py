"""Parts of large tables: part files in a run's folder, or in a place that the folder points to."""
