"""`python -m benchmarks.accepts`."""

from benchmarks.accepts import main

main()
