"""Looking at a project that exists, whatever its language, and mending it: what the kind `validate` is made of.

`languages` says what a project is written in, `planning` which checks that means and what they lack here, `running` and
`looking` run them, `table` judges, `fixers` mends what needs no thought, `shadow` holds the states that are looked at,
`delivery` brings the best of them to the user.
"""
