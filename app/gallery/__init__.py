"""The gallery: what a tab lists, page by page."""
