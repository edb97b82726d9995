import os
import shutil
import subprocess
import warnings

import numpy as np
import pandas as pd
import pytest
import soundfile
from sklearn.model_selection import cross_val_score

from sklearn_dysarthria import StratifiedPatientKFold, check_recordings, egemaps_svm_pipeline
from sklearn_dysarthria.datasets import fetch_minsk2019_als
from sklearn_dysarthria.exceptions import CorpusNotFoundError, RecordingWarning

RATE = 44_100
FLOATS = ["Pathology/021.wav", "Control/099.wav"]
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture(scope="session")
def troparion(tmp_path_factory, trees, minsk2019_paths):
    """The repository's tree with all 54 recordings, two of them float32, and other things."""
    root = tmp_path_factory.mktemp("troparion") / "Troparion"
    for i, path in enumerate(minsk2019_paths):
        place = root / "SPA2019" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        subtype = "FLOAT" if path in FLOATS else "PCM_16"
        samples = trees.voice(i, float(path.startswith("Pathology")))[:5000]
        soundfile.write(place, samples, RATE, subtype=subtype)
    (root / "SPA2019" / "README.md").write_text("# Bulbar ALS Detection")
    (root / "SPA2019" / "Pathology" / ".DS_Store").write_bytes(b"Bud1")
    (root / "MFCC").mkdir()
    (root / "MFCC" / "mfcc.m").write_text("% Matlab")
    return root


@pytest.fixture(scope="session")
def minsk2019_home(troparion, tmp_path_factory):
    """``data_home`` with the older Minsk corpus; read it only."""
    home = tmp_path_factory.mktemp("minsk2019_home")
    shutil.copytree(troparion / "SPA2019", home / "minsk2019")
    return home


def git(folder, *arguments):
    identity = ["-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "core.autocrlf=false"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def server(troparion, tmp_path, replace_minsk2019_source):
    """A git repository with the corpus in an older commit, in the place of the authors'."""
    root = tmp_path / "server"
    shutil.copytree(troparion, root)
    git(root, "init", "--quiet")
    git(root, "config", "uploadpack.allowAnySHA1InWant", "true")
    git(root, "add", "-A")
    git(root, "commit", "--quiet", "-m", "the corpus")
    commit = git(root, "rev-parse", "HEAD")
    (root / "SPA2019" / "Control" / "002.wav").write_bytes(b"changed later")
    git(root, "commit", "--quiet", "-am", "a change")
    replace_minsk2019_source(repository=root.as_uri(), commit=commit)
    return root


def test_table(minsk2019_home):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = fetch_minsk2019_als(data_home=minsk2019_home)
    data = dataset.data
    columns = ["audio", "sample_rate", "patient", "task", "diagnosis", "sex", "age"]
    assert list(data.columns) == dataset.feature_names == columns
    assert data.shape == (54, 7)
    assert dataset.target.value_counts().to_dict() == {"HC": 39, "ALS": 15}
    assert dataset.target_names.tolist() == ["ALS", "HC"]
    assert data["patient"].is_unique
    assert {"ALS042", "HC042"} <= set(data["patient"])
    assert set(data["task"]) == {"phonationA"}
    first = [str(minsk2019_home / "minsk2019/Pathology/008.wav"), RATE, "ALS008", "phonationA"]
    assert data.loc[0].tolist() == [*first, "ALS", "m", 51]
    assert check_recordings(data, dataset.target)[1]["ok"].all()
    pd.testing.assert_frame_equal(dataset.frame, data.assign(target=dataset.target))


def test_published_speakers(minsk2019_home):
    speakers = fetch_minsk2019_als(data_home=minsk2019_home).data
    by_group = speakers.groupby("diagnosis")
    assert by_group["age"].agg(["min", "max"]).T.to_dict("list") == {
        "ALS": [40, 70],
        "HC": [18, 82],
    }
    # Mean and standard deviation as in the authors' text; sexes as in their tables.
    assert by_group["age"].mean().round(1).to_dict() == {"ALS": 57.7, "HC": 42.0}
    assert by_group["age"].std().round(1).to_dict() == {"ALS": 9.0, "HC": 16.4}
    assert by_group["sex"].value_counts().to_dict() == {
        ("ALS", "f"): 8,
        ("ALS", "m"): 7,
        ("HC", "f"): 17,
        ("HC", "m"): 22,
    }


def test_as_arrays(minsk2019_home):
    data, target = fetch_minsk2019_als(
        data_home=minsk2019_home, as_frame=False, return_X_y=True, download_if_missing=False
    )
    assert data.shape == target.shape == (54,)
    assert target.dtype.kind == "U"


@pytest.mark.parametrize(
    "place",
    [
        "minsk2019/SPA2019",
        "minsk2019/Troparion-c57ca459dc34261ed7d4f7eab1195b792ba5aa08/SPA2019",
        "Troparion-master/SPA2019",
        "Troparion/SPA2019",
        "SPA2019",
        ".",
    ],
)
def test_places(troparion, tmp_path, place):
    shutil.copytree(troparion / "SPA2019", tmp_path / place, dirs_exist_ok=True)
    data = fetch_minsk2019_als(data_home=tmp_path, download_if_missing=False).data
    assert data.loc[0, "audio"] == str(tmp_path / place / "Pathology" / "008.wav")


def test_absent_corpus(tmp_path):
    with pytest.raises(CorpusNotFoundError) as caught:
        fetch_minsk2019_als(data_home=tmp_path, download_if_missing=False)
    for expected in (
        "54 of 54",
        "Pathology/008.wav",
        "Mak-Sim/Troparion/archive/c57ca45",
        "SPA2019",
    ):
        assert expected in str(caught.value)


def test_unpublished_recordings_are_skipped(minsk2019_home, tmp_path):
    shutil.copytree(minsk2019_home / "minsk2019", tmp_path / "minsk2019")
    shutil.copy(
        tmp_path / "minsk2019" / "Control" / "002.wav", tmp_path / "minsk2019" / "Control" / "3.wav"
    )
    with pytest.warns(RecordingWarning, match=r"1 recordings are not in .*'Control/3\.wav'"):
        assert len(fetch_minsk2019_als(data_home=tmp_path).data) == 54


def test_files_in_capitals(minsk2019_home, tmp_path):
    """Windows and macOS may list files in another case than the one they were published in."""
    for path in (minsk2019_home / "minsk2019").rglob("*.wav"):
        place = tmp_path / "minsk2019" / path.parent.name / path.name.upper()
        place.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, place)
    data = fetch_minsk2019_als(data_home=tmp_path, download_if_missing=False).data
    assert data.loc[0, "audio"] == str(tmp_path / "minsk2019" / "Pathology" / "008.WAV")
    assert check_recordings(data)[1]["ok"].all()


@needs_git
def test_download_of_the_fixed_commit(server, troparion, tmp_path):
    home = tmp_path / "new" / "home"
    data = fetch_minsk2019_als(data_home=home).data
    assert len(data) == 54
    for path in data["audio"]:
        assert path.startswith(str(home / "minsk2019"))
    original = troparion / "SPA2019" / "Control" / "002.wav"
    assert (home / "minsk2019" / "Control" / "002.wav").read_bytes() == original.read_bytes()
    assert [path.name for path in home.iterdir()] == ["minsk2019"]  # nothing is left behind
    assert not (home / "minsk2019" / ".git").exists()


@needs_git
def test_download_completes_what_is_there(server, minsk2019_home, tmp_path):
    shutil.copytree(minsk2019_home / "minsk2019", tmp_path / "minsk2019")
    (tmp_path / "minsk2019" / "Control" / "004.wav").unlink()
    mine = tmp_path / "minsk2019" / "Control" / "002.wav"
    mine.write_bytes(mine.read_bytes() + b"mine")
    assert len(fetch_minsk2019_als(data_home=tmp_path).data) == 54
    assert mine.read_bytes().endswith(b"mine")


@needs_git
def test_another_repository_in_the_environment_is_left_alone(server, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(server / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(server / ".git" / "index"))
    assert len(fetch_minsk2019_als(data_home=tmp_path / "home").data) == 54
    monkeypatch.undo()
    assert git(server, "status", "--porcelain") == ""


@needs_git
def test_changed_object_is_rejected(server, tmp_path):
    """What makes the name of a commit a checksum: content that does not fit is not accepted."""
    blob = git(server, "rev-parse", "HEAD:SPA2019/README.md")
    other = git(server, "hash-object", "-w", "MFCC/mfcc.m")
    objects = server / ".git" / "objects"
    place = objects / blob[:2] / blob[2:]
    place.chmod(0o644)
    place.write_bytes((objects / other[:2] / other[2:]).read_bytes())
    with pytest.raises(CorpusNotFoundError, match=r"Fetching file://.* failed"):
        fetch_minsk2019_als(data_home=tmp_path / "home")
    assert not (tmp_path / "home" / "minsk2019").exists()


@needs_git
@pytest.mark.parametrize(
    ("name", "value"),
    [("repository", "file:///no/such/place"), ("commit", "0" * 40), ("folder", "SPA2018")],
)
def test_failed_download(server, tmp_path, replace_minsk2019_source, name, value):
    replace_minsk2019_source(**{name: value})
    with pytest.raises(CorpusNotFoundError, match=r"54 of 54 .* failed: .* by hand"):
        fetch_minsk2019_als(data_home=tmp_path / "home")
    assert not list((tmp_path / "home").iterdir())


@needs_git
def test_commit_without_all_recordings(server, tmp_path, replace_minsk2019_source):
    git(server, "rm", "--quiet", "SPA2019/Control/010.wav")
    git(server, "commit", "--quiet", "-m", "less")
    replace_minsk2019_source(commit=git(server, "rev-parse", "HEAD"))
    with pytest.raises(CorpusNotFoundError, match=r"does not have 'Control/010\.wav'"):
        fetch_minsk2019_als(data_home=tmp_path / "home")


def test_without_git(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CorpusNotFoundError, match="git is not installed"):
        fetch_minsk2019_als(data_home=tmp_path)


def test_description(minsk2019_home):
    text = fetch_minsk2019_als(data_home=minsk2019_home).DESCR
    commit = "c57ca459dc34261ed7d4f7eab1195b792ba5aa08"
    for expected in ("Troparion", commit, "What is verified", "minsk_overlap"):
        assert expected in text


def test_through_a_pipeline(minsk2019_home):
    X, y = fetch_minsk2019_als(data_home=minsk2019_home, return_X_y=True)
    few = np.r_[0:6, 15:21]
    # The recordings are a tenth of a second long here, too short for some of eGeMAPS.
    long = X.iloc[few].assign(
        audio=[np.tile(soundfile.read(path)[0], 5) for path in X["audio"].iloc[few]]
    )
    scores = cross_val_score(
        egemaps_svm_pipeline(), long, y.iloc[few], cv=StratifiedPatientKFold(2)
    )
    assert scores.mean() > 0.6
