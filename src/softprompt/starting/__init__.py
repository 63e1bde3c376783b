"""From somebody's data to a first recipe: what a file holds, which task it is for, settings that fit."""

from softprompt.starting.columns import Column
from softprompt.starting.drafting import Draft, draft
from softprompt.starting.facts import Facts, Lengths
from softprompt.starting.hints import hints_as_options
from softprompt.starting.recipe import recipe_text

__all__ = ["Column", "Draft", "Facts", "Lengths", "draft", "hints_as_options", "recipe_text"]
