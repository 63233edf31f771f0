"""Training: many small models, one per group."""
