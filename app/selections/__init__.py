"""Selections: the steps of one, those that are kept, their outlines and chips."""
