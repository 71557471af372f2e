"""A language model whole: what directions write, what a reconstruction costs, what a changed feature does."""
