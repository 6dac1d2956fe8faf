"""Maps: the figure, its frames, and what lies over them."""
