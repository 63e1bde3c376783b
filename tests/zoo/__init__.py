"""Every family that the installed transformers can build tiny, under prompts, against references by hand."""
