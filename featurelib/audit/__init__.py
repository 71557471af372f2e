"""Signs that a feature fires by something else than what texts mean: length, language, boilerplate, copies."""
