"""Experiments as config files, and readers of the data sets in the form in which their publishers give them.

``data -> recipe -> feature cache -> protocol -> results``: a `Recipe` says which data a claim is about, which encoders
turn them into features, which protocol measures it with which numbers of pairs, and what others have published. Those
that ship are listed by `names`; your own are ``.toml`` files of the same form.
"""

from __future__ import annotations

from canonsim.recipes.examples import Captioned, Items, Labelled, TwiceCaptioned
from canonsim.recipes.recipe import Published, Recipe, make_encoder, names
from canonsim.recipes.run import run

__all__ = ["Captioned", "Items", "Labelled", "Published", "Recipe", "TwiceCaptioned", "make_encoder", "names", "run"]
