"""Plots of the report; each writes its data beside it as JSON."""
