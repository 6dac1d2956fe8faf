"""From flux to pictures: levels, stretches, thumbnails."""
