"""Comparisons of the rows of a study, and of runs over the tasks that they share."""
