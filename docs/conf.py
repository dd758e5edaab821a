"""How the site looks. docs/build.py gathers its pages and calls Sphinx."""

import re

from docutils import nodes
from sphinx.util.rst import escape

project = "segkit"
html_title = "segkit: person segmentation"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.imgmath"]
exclude_patterns = ["**/.ipynb_checkpoints"]

# Notebooks are shown with the outputs that are stored in them; a test of the suite runs them.
nb_execution_mode = "off"
nb_ipywidgets_js = {}  # a page has no kernel, so no slider moves: the still picture below it stays
nb_render_markdown_format = "myst"
nb_merge_streams = True  # what a cell prints is one block, as in JupyterLab
nb_code_prompt_show, nb_code_prompt_hide = "Open the {type}", "Close the {type}"
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
autodoc_inherit_docstrings = False  # torch says the same of each forward

html_theme = (
    "furo"  # light and dark, readable on a phone; fonts and scripts are the reader's own or in the page
)
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
html_math_renderer = "imgmath"  # the lessons have no formulas, and MathJax would be asked of another host


def as_written(app, what, name, obj, options, lines):
    """Docstrings here are plain text. What lines up in columns stays as it stands; elsewhere a line that only
    goes on with the one before is joined to it, so that it breaks where the page does.
    """
    shown = []
    for block in "\n".join(lines).strip().split("\n\n"):
        if re.search(r"[^.\s] {2,}\S|─", block):
            shown += ["::", "", *(f"    {line}" for line in block.splitlines()), ""]
        else:
            joined = re.sub(r"\n +|(?<=[^\n]{70})\n(?![\w, ]+: )", " ", block)
            shown += [*(f"| {escape(line)}" for line in joined.splitlines()), ""]
    lines[:] = shown


def without_columns(app, doctree, name):
    """What a cell prints may break where a narrow page does, unless its words stand in columns."""
    for cell in doctree.findall(nodes.container):
        if "cell_output" in cell["classes"]:
            for printed in cell.findall(nodes.literal_block):
                if not re.search(r"(?m)^ |\S {2,}\S", printed.astext()):
                    printed["classes"].append("no-columns")


def not_ours(app, what, name, obj, skip, options):
    """What matplotlib and torch write into each class of theirs."""
    return skip or not str(getattr(obj, "__module__", "segkit")).startswith("segkit")


def setup(app):
    app.connect("autodoc-process-docstring", as_written)
    app.connect("autodoc-skip-member", not_ours)
    app.connect("doctree-resolved", without_columns)
