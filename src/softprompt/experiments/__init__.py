"""Studies: many runs whose results come as one table and a plot."""
