"""The dashboard: views over a survey. It holds no science."""
