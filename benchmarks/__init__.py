"""Figures, each as a ratio to a baseline of the same run: machines and disks differ, ratios less so."""
