"""Sphinx settings: Markdown pages, numpydoc docstrings, the theme astronomers' documentation uses."""

project = "Skysieve"
copyright = "2026, The Skysieve developers"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
html_theme = "pydata_sphinx_theme"
html_title = "Skysieve"
exclude_patterns = ["site"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
autodoc_typehints = "none"
napoleon_google_docstring = False
suppress_warnings = ["myst.xref_missing"]
