"""How much of what goes wrong the patterns prevent: situations, replayed with and without them.

    python -m benchmarks error_corpus

`situations.toml` lists them: written by the library's authors after the causes of a study, not collected in the field,
so the share that is prevented says what the patterns reach, not how often that happens. `families/` has the tasks, each
done naively (open, subprocess, a loop, the same again when it fails) and with the library (typed files, transactions,
batches, programs, ground truth). A judge that uses neither looks at what came of it. The healthy twin of each
situation, where nothing is wrong, shows that the patterns do not just refuse.
"""

from benchmarks.error_corpus.printing import take

__all__ = ["take"]
