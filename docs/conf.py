"""Configuration of the documentation; nothing here reaches for the network."""

import os
import sys
from pathlib import Path

os.environ["MPLBACKEND"] = "Agg"
# Small networks gain nothing from several threads, and lose much where the cores are shared.
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from sphinx_gallery.sorting import ExplicitOrder

import sklearn_dysarthria

project = "sklearn_dysarthria"
author = "The sklearn_dysarthria developers"
project_copyright = author
release = version = sklearn_dysarthria.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "from_the_code",
    "public_names",
]
exclude_patterns = ["_build", "_ext", "auto_examples/*.ipynb", "README.md"]
templates_path = ["_templates"]

# ------------------------------------------------------------------------------------ reference

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings say what the types mean
autodoc_preserve_defaults = True
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

nitpicky = True
nitpick_ignore_regex = [
    # Other libraries: their documentation is not fetched during a build.
    ("py:.*", r"(sklearn|imblearn|skorch|numpy|pandas|scipy|joblib|torch|librosa)\..*"),
    ("py:.*", r"(matplotlib|opensmile|distributed)\..*"),
    # Parts of the package that its docstrings mention and that are nobody's interface.
    ("py:.*", r"sklearn_dysarthria\.(_|datasets\._).*"),
]

# -------------------------------------------------------------------------------------- gallery

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"plot_\w+\.py$",
    "within_subsection_order": ExplicitOrder(
        [
            "plot_compare.py",
            "plot_front_end.py",
            "plot_grid_search.py",
            "plot_published_systems.py",
            "plot_ablations.py",
            "plot_inputs_and_optimisers.py",
            "plot_architecture_search.py",
            "plot_backbones.py",
            "plot_augmentation.py",
            "plot_sampling.py",
            "plot_noise_robustness.py",
            "plot_severity.py",
            "plot_hierarchical.py",
            "plot_task_models.py",
            "plot_task_fusion.py",
            "plot_ensembles.py",
            "plot_cluster.py",
            "minsk2020_baseline.py",
        ]
    ),
    "image_scrapers": ("matplotlib",),
    "abort_on_example_error": True,
    "capture_repr": ("_repr_html_",),
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("sklearn_dysarthria",),
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
    "min_reported_time": 1e9,  # seconds on whichever machine built the page tell nobody anything
}

# ----------------------------------------------------------------------------------------- html

html_theme = "pydata_sphinx_theme"
html_title = f"{project} {version}"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navigation_with_keys": False,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
}
html_sidebars = {page: [] for page in ("index", "quickstart", "contributing", "changelog")}
