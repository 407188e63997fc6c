"""Work on a git repository: a fresh checkout for each look, what checks see in it, and the branch that comes of it."""
