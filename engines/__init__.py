"""Builds and runs engines: the only room that imports TensorRT."""
