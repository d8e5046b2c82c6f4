"""Defines the model: from a checkpoint to a verified FP32 or FP16 ONNX file."""

__version__ = "0.1.0"
