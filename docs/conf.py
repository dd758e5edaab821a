"""How the site looks. docs/build.py gathers its pages and calls Sphinx."""

from sphinx.util.rst import escape

project = "segkit"
author = "The segkit authors"
html_title = "segkit: person segmentation"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.imgmath"]
exclude_patterns = ["**/.ipynb_checkpoints"]

# Notebooks are shown with the outputs that are stored in them; a test of the suite runs them.
nb_execution_mode = "off"
nb_ipywidgets_js = {}  # a page has no kernel, so no slider moves: the still picture below it stays
nb_render_markdown_format = "myst"
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4
suppress_warnings = [
    "myst.header",
    "misc.highlighting_failure",
    "mystnb.unknown_mime_type",
    "myst.xref_missing",
]

# The signature of a function with its types, its docstring as it is written.
autodoc_typehints = "signature"
autodoc_member_order = "bysource"

html_theme = (
    "furo"  # light and dark, readable on a phone; fonts and scripts are the reader's own or in the page
)
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_math_renderer = "imgmath"  # the lessons have no formulas, and MathJax would be asked of another host


def as_written(app, what, name, obj, options, lines):
    """Docstrings here are plain text: kept line by line, each sign as it stands."""
    lines[:] = [f"| {escape(line)}" if line.strip() else "" for line in lines]


def not_ours(app, what, name, obj, skip, options):
    """What matplotlib and torch write into each class of theirs."""
    return skip or not str(getattr(obj, "__module__", "segkit")).startswith("segkit")


def setup(app):
    app.connect("autodoc-process-docstring", as_written)
    app.connect("autodoc-skip-member", not_ours)
