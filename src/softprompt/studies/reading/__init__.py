"""From a study file to every run that it asks for, all checked before the first begins."""
