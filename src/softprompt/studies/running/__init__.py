"""Running what a study still lacks."""
