"""Taking results elsewhere."""
