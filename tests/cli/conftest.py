import os
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
import soundfile

from sklearn_dysarthria import cli, make_dysarthric_speech

SMALL_NET = """
[corpus]
name = "patients.csv"

[model]
name = "sand-convnext"

[model.voting]
voting = "soft"

[model.params.images]
image_size = 32
n_mels = 32
n_fft = 512
sample_rate = 8000
freq_ranges = {phonation = [50, 4000], rhythm = [100, 4000]}

[model.params.classify]
max_epochs = 1

[evaluation]
n_splits = 2
n_resamples = 50
"""


@pytest.fixture
def run(monkeypatch, tmp_path, capfd):
    """Run the program in an empty folder; return exit code, standard output and error."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        capfd.readouterr()  # what fixtures have said meanwhile
        monkeypatch.setattr(sys, "argv", ["sklearn-dysarthria", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capfd.readouterr()
        return ended.value.code or 0, out, err

    monkeypatch.setattr("warnings.formatwarning", None)  # put back what main() replaces
    return call


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Folder with the recordings of ten patients, their table, and two studies on it."""
    folder = tmp_path_factory.mktemp("corpus")
    X, y = make_dysarthric_speech(
        n_patients=10, duration=0.5, sample_rate=8000, folder=folder / "wav", random_state=0
    )
    table = X[["audio", "patient", "task"]].assign(label=np.where(y == 1, "ALS", "HC"))
    table["audio"] = [os.path.relpath(path, folder) for path in table["audio"]]
    table.to_csv(folder / "patients.csv", index=False)
    (folder / "net.toml").write_text(SMALL_NET)
    (folder / "svm.toml").write_text(
        '[corpus]\nname = "patients.csv"\n[model]\nname = "egemaps-svm"\n'
        "[evaluation]\nn_splits = 2\nn_resamples = 50\n"
    )
    return folder


@pytest.fixture
def patients(corpus, tmp_path):
    """The same in the folder that the program runs in, to be changed at will."""
    shutil.copytree(corpus, tmp_path, dirs_exist_ok=True)
    return tmp_path / "patients.csv"


def _trained(corpus, kind):
    path = corpus / f"{kind}.model"
    arguments = [str(corpus / f"{kind}.toml"), "--output", str(path), "--quiet"]
    cli.app(["train", *arguments, "--cache", str(corpus / "cache")], standalone_mode=False)
    return path


@pytest.fixture(scope="session")
def net_model(corpus):
    """File of a small trained network."""
    return _trained(corpus, "net")


@pytest.fixture(scope="session")
def svm_model(corpus):
    """File of the trained baseline."""
    return _trained(corpus, "svm")


@pytest.fixture
def is_one_sentence():
    """Return whether a program ended with one line that says what is wrong."""

    def check(err):
        lines = [line for line in err.strip().splitlines() if line]
        return len(lines) == 1 and lines[0].startswith("Error: ")

    return check


@pytest.fixture
def other_samples():
    """Write the recordings beside a table a little quieter: other recordings to any model."""

    def change(table):
        for path in (table.parent / "wav").iterdir():
            samples, rate = soundfile.read(path)
            soundfile.write(path, 0.5 * samples, rate, subtype="PCM_16")

    return change


@pytest.fixture
def silent_table():
    """Table of one recording, of which only the task is looked at."""
    return pd.DataFrame({"audio": ["a.wav"], "patient": ["a"], "task": ["phonationA"]})
