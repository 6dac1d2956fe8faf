"""From representations to neighbours and layouts."""
