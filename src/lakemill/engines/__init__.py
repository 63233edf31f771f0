"""Where work runs: frames (tables), tasks (independent functions) and gangs (ranks)."""
