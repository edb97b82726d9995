"""What is wrong with the words on the command line is said before anything slow is imported."""

import json
import subprocess
import sys

import pandas as pd
import pytest

from sklearn_dysarthria.report import METHODS, PARTS, PRESETS, build_methods, check_methods

SLOW = ("torch", "sklearn", "scipy", "pandas", "skorch", "librosa", "matplotlib")
STUDY = """
[corpus]
name = "synthetic"
[model]
name = "hyper-alexnet"
"""
# Code that runs the program and then reports which slow modules are imported.
PROGRAM = f"""
import contextlib, io, json, sys
from sklearn_dysarthria.cli import main

def run(line):
    sys.argv = ["sklearn-dysarthria", *line.split()]
    err = io.StringIO()
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
    return code, err.getvalue(), [name for name in {SLOW} if name in sys.modules]

for line in sys.stdin.read().splitlines():
    print(json.dumps(run(line)), flush=True)
"""
LINES = {
    "--help": "",
    "train --help": "",
    "train s.toml --ouput x": "No such option: --ouput",
    "trian s.toml": "No such command 'trian'",
    "train nowhere.toml": "There is no study file 'nowhere.toml'",
    "train nowhere.csv --set model.name=egemaps-svm": "there is no such table",
    "compare nowhere.csv": "there is no such table",
    "preprocess nowhere.csv": "there is no such table",
    "predict nowhere.model a.wav": "'nowhere.model' does not exist",
    "predict s.toml a.wav": "is no model that",
    "evaluate nowhere.csv --model s.toml": "there is no such table",
    "train s.toml --set modl.name=x": "must name an entry of a table",
    "train s.toml --set model.nam=x": "Did you mean 'name'",
    "train s.toml --set model.name=hyper-alexne": "Did you mean 'hyper-alexnet'",
    "train s.toml --set model.preset=papr": "Did you mean 'paper'",
    "train s.toml --set model.voting.votin=soft": "Did you mean 'voting'",
    "train s.toml --set model.params.imags.n_mels=3": "Did you mean 'images'",
    "train s.toml --set model.params.images.n_mel=3": "Did you mean 'n_mels'",
    "train s.toml --set model.params.classify__max_epoch=3": "Did you mean 'classify__max_epochs'",
    "train s.toml --set corpus.n_patient=3": "Did you mean 'n_patients'",
    "train s.toml --set corpus.n_patients=x": "corpus.n_patients must be an integer, not 'x'",
    "train synthetc": "Did you mean 'synthetic'",
    "train s.toml --set run.cahce=x": "Did you mean 'cache'",
    "evaluate s.toml --set evaluation.n_splits=1": "must be 2 or more, not 1",
    "compare synthetic --methods alexnet": "Unknown methods ['alexnet']",
}


def answers_to(lines, folder):
    """Run the program in a new process, once for each line."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    (folder / "s.toml").write_text(STUDY)
    return dict(zip(LINES, answers_to(LINES, folder), strict=True))


@pytest.mark.parametrize("line", LINES)
def test_nothing_slow_is_imported_to_say_it(answers, line):
    code, err, imported = answers[line]
    assert imported == []
    assert (code == 0) == (not LINES[line])
    assert LINES[line] in err


def test_a_model_without_a_network_needs_no_torch(patients, svm_model):
    table = pd.read_csv(patients)
    few = set(table.loc[table["label"] == "HC", "patient"].unique()[:2])
    table[~table["patient"].isin(few)].to_csv(patients, index=False)
    lines = [
        f"predict {svm_model} wav/S001_rhythmPA.wav --quiet",
        "compare svm.toml --methods egemaps-svm-vote --set evaluation.n_resamples=20 --quiet",
    ]
    predicted, compared = answers_to(lines, patients.parent)
    for code, err, imported in (predicted, compared):
        assert code == 0, err
        assert "sklearn" in imported
        assert "torch" not in imported
    # A warning of a library takes one line, without the code that it comes from.
    assert compared[1].startswith("Warning: Fewer than 5 patients in a class (HC: 3)")
    assert len(compared[1].strip().splitlines()) == 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("preset", PRESETS)
def test_parts_of_methods_are_those_that_are_built(method, preset, silent_table):
    model = build_methods([method], silent_table, preset=preset)[method]
    parts = model.get_params(deep=False)
    if "estimator" in parts:
        parts = dict(parts["estimator"].steps)
    parts = {name: parts[name] for name in PARTS[method]}
    if method != "egemaps-svm-side-by-side":
        assert list(parts) == list(dict(model.estimator.steps))
    for name, ours in PARTS[method].items():
        module = type(parts[name]).__module__.partition(".")[0]
        assert (module == "sklearn_dysarthria") == (ours is not None)
        if ours is not None:
            assert type(parts[name]).__name__ == ours


def test_presets_are_those_of_the_pipelines():
    from sklearn_dysarthria import pipelines

    assert set(PRESETS) == set(pipelines.PRESETS)
    with pytest.raises(ValueError, match="preset='papr' must be one of"):
        check_methods(METHODS, "papr")
