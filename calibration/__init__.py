"""Quantizes the model: calibration images in, an explicit Q/DQ INT8 ONNX file out."""
