"""A study's results as files, written and read back."""
