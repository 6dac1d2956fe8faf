"""Finding objects: by likeness, by region of a layout, by query."""
