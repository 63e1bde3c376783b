"""The results of a study as files, written and read."""
