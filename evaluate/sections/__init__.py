"""Sections of report.md, each a list of lines rendered from the record and the verdict."""
