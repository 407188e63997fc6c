"""Where a delivered build comes from, as a statement that others can check: in-toto with SLSA provenance."""
