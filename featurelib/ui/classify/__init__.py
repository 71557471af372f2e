"""What classifiers make of a run's texts: one experiment in full, and all of them beside each other.

choosing         which set and which experiment, in the address
one_experiment   its scores, its labels, what was taken for what
importance       the columns that count, as bars
decision_tree    a tree as branches that open, each with its feature
errors           texts that were got wrong, and why
comparing_two    all experiments as a table and a heat map, and a paired test of two
"""
