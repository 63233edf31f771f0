"""Figures of Lakemill beside its peers: ``python -m benchmarks.NAME``."""
