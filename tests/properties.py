"""
How hypothesis is run here.
"""

from __future__ import annotations

from hypothesis import settings

PROPERTIES = settings(deadline=None, max_examples=150, database=None, print_blob=True)
"""
Enough examples for a run that stays short. A failure prints what reproduces it; nothing is kept between runs.
"""
