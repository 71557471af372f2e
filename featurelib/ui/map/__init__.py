"""What the page Map needs.

colouring    what features are coloured by: the choice, the values, the key to the colours
picked       what is shown beside the map: one feature, those in a lasso, those of a theme or cluster
figure       the map itself, and pictures of it
"""
