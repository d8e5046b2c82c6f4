"""Readers of data sets as people have them: what is in a folder or a list, whatever its layout."""
