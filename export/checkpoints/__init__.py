"""What stands behind `export.checkpoint`: files, names of tensors, and the network and classifier of each family."""
