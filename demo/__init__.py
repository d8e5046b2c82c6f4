"""Makes everything a newcomer lacks: drawn faces, fakes, and a trained detector."""
