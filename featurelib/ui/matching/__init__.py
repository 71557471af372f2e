"""What the pages Splitting and SAE against SAE need: two runs on the same texts, their features matched.

partners      which runs can be compared, and their features matched
fates          what became of each feature
both_sides     two SAEs side by side: their evaluation, what both have, what each has alone
"""
