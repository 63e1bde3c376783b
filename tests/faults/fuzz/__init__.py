"""Damaged and hostile inputs, made from a seed.

Each module has `attempt(random, scratch)`, which makes one input below the folder `scratch`, reads it through
the library, and returns the outcome in a word. An error that is not the library's own propagates; an
AssertionError means that an input was loaded as something that it does not say. `choose(random)` repeats the
first draw of `attempt`: the name of the mutation.
"""
