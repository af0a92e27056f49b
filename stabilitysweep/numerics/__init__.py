"""Probes inside the graph, and the verdicts drawn from what they saw."""
