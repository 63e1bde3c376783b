"""Prompt files: a folder with safetensors and a JSON card."""
