"""Turns videos into faces: decodes frames, finds faces in them and cuts those out."""
