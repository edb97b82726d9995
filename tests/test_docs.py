"""The snippets in the documentation are true, and it leaves no public name out."""

import doctest
import re
import tempfile
import warnings
from pathlib import Path

import pytest

import sklearn_dysarthria
from sklearn_dysarthria import exceptions

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.rst"))
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

needs_docs = pytest.mark.skipif(not PAGES, reason="the documentation is not here")


def _snippets(page):
    """Return the page with Markdown's fences blanked, which would pass for expected output."""
    return re.sub(r"^ *```.*$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE)


def _with_snippets():
    pages = [page for page in [ROOT / "README.md", *PAGES] if page.is_file()]
    return [page for page in pages if ">>>" in _snippets(page)]


@needs_docs
@pytest.mark.parametrize("page", _with_snippets(), ids=lambda page: page.name)
def test_snippets_print_what_the_page_shows(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    test = doctest.DocTestParser().get_doctest(_snippets(page), {}, page.name, str(page), 0)
    report = []
    with warnings.catch_warnings():
        doctest.DocTestRunner(optionflags=FLAGS).run(test, out=report.append)
    assert not report, "".join(report)


def test_a_wrong_snippet_is_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```python\n>>> 1 + 1\n3\n```\n", encoding="utf-8")
    test = doctest.DocTestParser().get_doctest(_snippets(page), {}, page.name, str(page), 0)
    report = []
    doctest.DocTestRunner(optionflags=FLAGS).run(test, out=report.append)
    assert "Expected:\n    3\nGot:\n    2\n" in "".join(report)


@needs_docs
def test_reference_lists_every_public_name():
    listed = set(re.findall(r"^   (\w+)$", (DOCS / "api.rst").read_text(), flags=re.MULTILINE))
    public = set(sklearn_dysarthria.__all__) - {"__version__"}
    own = {
        name
        for name, thing in vars(exceptions).items()
        if isinstance(thing, type) and thing.__module__ == exceptions.__name__
    }
    assert (public | own) - listed == set()


@needs_docs
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_pages_lead_somewhere(page):
    targets = re.findall(r":doc:`(?:[^`<]*<)?/?([\w/]+)>?`", page.read_text(encoding="utf-8"))
    missing = [
        target
        for target in targets
        if not (DOCS / f"{target}.rst").is_file()
        and not (ROOT / "examples" / f"{target.removeprefix('auto_examples/')}.py").is_file()
        and target != "auto_examples/index"
    ]
    assert missing == []


@pytest.mark.skipif(not (ROOT / "README.md").is_file(), reason="the README is not here")
@pytest.mark.parametrize("corpus", ["synthetic", "minsk2020"])
def test_the_readmes_tables_are_kept_results(corpus):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = readme.split(f"<!-- {corpus}:start -->")[1].split(f"<!-- {corpus}:end -->")[0].strip()
    kept = (ROOT / "benchmarks/results" / corpus / "comparison.md").read_text(encoding="utf-8")
    assert shown == kept.split("\n\n")[0]
