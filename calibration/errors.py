"""What can go wrong between a float graph and its INT8 version."""

from __future__ import annotations

from export.errors import SignoffError


class CalibrationError(SignoffError):
    """Activation ranges cannot be measured, or belong to another model."""


class QuantizationError(SignoffError):
    """A graph cannot be quantized as asked, or its Q/DQ pairs are not what TensorRT accepts."""
