"""What scikit-learn promises of a transformer, asked of every transformer of recordings."""

import inspect
import pickle
import re
import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import pytest
import soundfile
from sklearn import config_context
from sklearn.pipeline import Pipeline, make_pipeline

from sklearn_dysarthria import EGeMAPSFeatures, EnergyVAD, LogMelDeltaImages
from sklearn_dysarthria.exceptions import (
    AudioTypeError,
    MissingColumnError,
    RecordingError,
    RecordingWarning,
)

RATE = 8000


def images(**parameters):
    return LogMelDeltaImages(
        sample_rate=RATE, n_fft=256, hop_length=128, n_mels=16, image_size=8, **parameters
    )


def features(**parameters):
    return EGeMAPSFeatures(**parameters)


def vad(**parameters):
    return EnergyVAD(sample_rate=RATE, frame_length=256, hop_length=128, **parameters)


every = pytest.mark.parametrize("make", [images, features, vad])


@pytest.fixture(name="X")
def table(tmp_path):
    """Arrays and files, segments and none, odd labels, a column of somebody else."""
    rng = np.random.default_rng(0)
    time = np.arange(4000) / RATE
    cells = []
    for i in range(5):
        envelope = np.where((time > 0.1) & (time < 0.4), 1.0, 1e-3)
        voice = np.sin(2 * np.pi * (110 + 20 * i) * time) + 0.1 * rng.normal(size=4000)
        cells.append((0.3 * envelope * voice).astype(np.float32))
    path = tmp_path / "ALS024_phonationA.wav"
    soundfile.write(path, cells[1], RATE)
    cells[1] = path
    return pd.DataFrame(
        {
            "audio": pd.Series(cells, dtype=object),
            "sample_rate": RATE,
            "segments": pd.Series([None, None, [(0.05, 0.45)], None, None], dtype=object),
            "patient": ["ALS024", "ALS024", "HC024", "HC024", "HC025"],
            "task": "phonationA",
            "note": [{"a": 1}, None, 3.0, "x", [1, 2]],
        }
    ).set_axis(["b", 7, "b", (1, 2), None])


def rows(output):
    """Return an output row by row, as something that compares."""
    if isinstance(output, pd.DataFrame) and "segments" in output:
        return [list(map(tuple, segments)) for segments in output["segments"]]
    return list(np.asarray(output))


def same(left, right):
    left, right = rows(left), rows(right)
    return len(left) == len(right) and all(map(np.array_equal, left, right))


def n_rows(output):
    return len(output)


@every
def test_init_only_stores(make):
    cls = type(make())
    signature = inspect.signature(cls.__init__).parameters
    assert all(p.kind is p.KEYWORD_ONLY for name, p in signature.items() if name != "self")
    marks = {name: object() for name in signature if name != "self"}
    transformer = cls(**marks)
    assert vars(transformer) == marks
    assert transformer.get_params() == marks
    assert set(cls._parameter_constraints) == set(marks)


@every
def test_every_parameter_is_documented(make):
    cls = type(make())
    text = inspect.cleandoc(cls.__doc__).split("\nParameters\n----------\n")[1]
    section = re.split(r"\n\n\w[\w ]*\n-{3,}\n", text)[0]
    documented = re.findall(r"^(\w+) : \S", section, flags=re.MULTILINE)
    assert documented == list(inspect.signature(cls).parameters)
    for name, parameter in inspect.signature(cls).parameters.items():
        if isinstance(parameter.default, (str, int, float)):
            line = re.search(rf"^{name} : .*$", section, flags=re.MULTILINE).group()
            stated = re.search(r"default=(.+)$", line).group(1).strip('"')
            assert stated == str(parameter.default) or float(stated) == parameter.default
    for name in ("fit", "transform"):
        doc = inspect.getdoc(getattr(cls, name))
        assert all(f"{part}\n---" in doc for part in ("Parameters", "Returns"))


@every
def test_fit_returns_self_and_may_be_repeated(make, X):
    transformer = make()
    assert transformer.fit(X) is transformer
    first = transformer.transform(X)
    assert transformer.fit(X.iloc[:2], [0, 1]) is transformer
    assert same(transformer.transform(X), first)


@every
def test_nothing_is_learned(make, X):
    assert not make().__sklearn_tags__().requires_fit
    assert same(make().transform(X), make().fit_transform(X))
    assert same(make().fit(X.iloc[:1]).transform(X), make().fit(X).transform(X))


@every
def test_input_is_left_alone(make, X):
    before = pickle.dumps(X.to_dict("list"))
    columns, index = X.columns.copy(), X.index.copy()
    for cell in X["audio"]:
        if isinstance(cell, np.ndarray):
            cell.flags.writeable = False
    make().fit_transform(X)
    assert pickle.dumps(X.to_dict("list")) == before
    assert X.columns.equals(columns)
    assert list(X.index) == list(index)


@every
def test_result_shares_no_samples_with_the_table(make, X):
    output = make().transform(X)
    if isinstance(output, np.ndarray):
        assert output.flags.writeable
        assert output.flags.owndata
        assert not any(np.shares_memory(output, c) for c in X["audio"] if isinstance(c, np.ndarray))


@every
def test_rows_are_independent_and_keep_their_order(make, X):
    whole = rows(make().transform(X))
    assert len(whole) == len(X)
    for order in ([4, 2, 0, 1, 3], [1], [3, 3, 3], [0, 2]):
        part = rows(make().transform(X.iloc[order]))
        assert len(part) == len(order)
        for row, i in zip(part, order, strict=True):
            assert np.array_equal(row, whole[i])


@every
def test_result_does_not_depend_on_the_index(make, X):
    expected = make().transform(X)
    for index in (range(5), [0] * 5, pd.MultiIndex.from_product([["a"], range(5)]), list("edcba")):
        output = make().transform(X.set_axis(index))
        assert same(output, expected)
        if isinstance(output, pd.DataFrame):
            assert list(output.index) == list(X.set_axis(index).index)


@every
def test_sequences_of_paths(make, X):
    path = X["audio"].iloc[1]
    expected = make().transform(X.iloc[[1]])
    for paths in ([path], (str(path),), np.array([str(path)]), pd.Series([path], index=["k"])):
        assert same(make().fit_transform(paths), expected)


@every
def test_processes_change_nothing(make, X):
    expected = make().transform(X)
    assert same(make(n_jobs=2).fit_transform(X), expected)
    with joblib.parallel_config("threading", n_jobs=2):
        assert same(make().fit_transform(X), expected)


@every
def test_verbose_shows_a_bar_on_standard_error(make, X, capsys):
    make().transform(X)
    assert capsys.readouterr() == ("", "")
    make(verbose=2).transform(X)
    out, err = capsys.readouterr()
    assert out == ""
    assert "5/5" in err


@every
def test_bad_rows(make, X):
    X["audio"] = pd.Series(
        [X["audio"].iloc[0], "gone.wav", np.zeros(4000), *X["audio"].iloc[3:]],
        index=X.index,
        dtype=object,
    )
    with pytest.raises(RecordingError, match=r"row 7, file 'gone\.wav'"):
        make().fit(X).transform(X)
    with pytest.warns(
        RecordingWarning, match=r"2 of 5 .*\n.*row 7.*gone\.wav.*\n.*row 'b'"
    ) as seen:
        output = make(on_error="nan").transform(X)
    assert len(seen) == 1
    assert n_rows(output) == 5
    good = [0, 3, 4]
    part = output.iloc[good] if isinstance(output, pd.DataFrame) else output[good]
    assert same(part, make().transform(X.iloc[good]))
    if isinstance(output, np.ndarray):
        assert np.isnan(output[[1, 2]]).all()
    else:
        assert output["segments"].iloc[1] is None


@every
def test_bad_rows_in_processes(make, X):
    X = X.assign(audio=["gone.wav", *X["audio"].iloc[1:]])
    with pytest.raises(RecordingError, match=r"row 'b', file 'gone\.wav'"):
        make(n_jobs=2).transform(X)


@every
def test_interrupt_is_not_swallowed(make, X, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules[type(make()).__module__], "load_waveform", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(on_error="nan").transform(X)


@every
def test_what_is_not_a_table(make, X):
    path = str(X["audio"].iloc[1])
    for absurd in (None, 3, path, np.zeros((3, 4)), np.zeros(5), {"audio": [path]}, iter([path])):
        for method in (make().fit, make().transform, make().fit_transform):
            with pytest.raises(AudioTypeError):
                method(absurd)
    for method in (make().fit, make().transform):
        with pytest.raises(MissingColumnError, match="audio"):
            method(X.drop(columns="audio"))


@every
def test_an_empty_table_gives_an_empty_result(make, X):
    for empty in (X.iloc[:0], [], pd.DataFrame({"audio": []})):
        output = make().fit(empty).transform(empty)
        assert n_rows(output) == 0
        assert type(output) is type(make().transform(X))
        if isinstance(output, np.ndarray):
            assert output.shape[1:] == make().transform(X).shape[1:]
            assert output.dtype == np.float32


@every
def test_in_a_pipeline(make, X):
    expected = make().transform(X)
    for container in ("default", "pandas"):
        model = make_pipeline(make()).set_output(transform=container)
        assert same(model.fit_transform(X, [0, 1, 0, 1, 0]), expected)
        assert same(model.transform(X), expected)
    after_vad = Pipeline([("vad", vad(mode="split")), ("next", make())]).set_output(
        transform="pandas"
    )
    annotated = vad(mode="split").transform(X)
    assert same(after_vad.fit_transform(X), make().transform(annotated))


@every
@pytest.mark.parametrize("routing", [False, True])
def test_metadata_routing(make, X, routing):
    with config_context(enable_metadata_routing=routing):
        expected = make().fit_transform(X, [0, 1, 0, 1, 0])
        model = make_pipeline(make())
        assert same(model.fit(X, [0, 1, 0, 1, 0]).transform(X), expected)
        model.get_metadata_routing()


def test_building_them_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from sklearn_dysarthria import EGeMAPSFeatures, EnergyVAD, LogMelDeltaImages\n"
        "for cls in (EGeMAPSFeatures, EnergyVAD, LogMelDeltaImages): cls()\n"
        "heavy = {'torch', 'librosa', 'opensmile', 'soundfile'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
