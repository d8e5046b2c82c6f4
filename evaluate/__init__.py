"""Judges engines: scores, metrics, class-activation maps, plots and the report."""
