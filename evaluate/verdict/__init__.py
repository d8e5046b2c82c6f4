"""Limits, and what they make of a report's figures: PASS, FAIL or INCONCLUSIVE, with a reason."""
