"""Parts of `benchmarks.scaling`: what is measured (`coordinator`, `costs`) and what is simulated (`cluster`)."""
