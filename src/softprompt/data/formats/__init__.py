"""Readers of files into records, a file for formats that are alike."""
