"""From labels to a posterior, a ranking and the next objects to look at."""
