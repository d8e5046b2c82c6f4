"""Makes a detector smaller or sparser and repairs what that does to its logit; knows nothing of engines."""
