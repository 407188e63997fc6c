"""Branches into one branch, one after the other, each only after its checks have seen the merged result.

task      a merge as it is asked for
branches  which branches, and what is known of them
joined    two commits into one tree, by git and by meaning
target    the branch that is merged into: where it is, whether it may move, and moving it
again     a conflict that becomes a task
"""
