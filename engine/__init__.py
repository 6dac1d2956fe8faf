"""Skysieve's engine: surveys, representations, maps and the learning loop, without an interface.

>>> from engine import Survey
>>> survey = Survey.open("my.survey")           # doctest: +SKIP
"""

from engine.errors import UserError as UserError
from engine.survey import Survey as Survey

__all__ = ["Survey", "UserError"]
