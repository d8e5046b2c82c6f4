"""What a checkpoint is: its recognition, and which reading of it fits labelled faces."""
