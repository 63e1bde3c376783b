"""Figures: arrays in, pictures out, in one style, light and dark."""
