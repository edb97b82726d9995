"""The synthetic corpus: is it what was asked for, and does only severity show the class?"""

import inspect
import re

import numpy as np
import opensmile
import pandas as pd
import pytest
import soundfile
from numpy.testing import assert_allclose, assert_array_equal
from scipy.signal import butter, find_peaks, sosfiltfilt
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sklearn_dysarthria.datasets import make_dysarthric_speech
from sklearn_dysarthria.recordings import check_recordings

RATE = 16000
TASKS = ["phonationA", "phonationE", "phonationI", "phonationO", "phonationU"]
TASKS += ["rhythmPA", "rhythmTA", "rhythmKA"]
DEVICES = ["headset", "phone-a", "phone-b", "phone-c", "tablet"]


def count_syllables(samples):
    envelope = np.maximum(sosfiltfilt(butter(2, 20, fs=RATE, output="sos"), np.abs(samples)), 1e-9)
    level = 20 * np.log10(envelope / envelope.max())
    return len(find_peaks(level, height=-15, prominence=6, distance=RATE // 20)[0])


@pytest.fixture(scope="module")
def corpus():
    return make_dysarthric_speech(6, random_state=0, duration=(0.8, 1.2))


class TestCorpus:
    def test_table(self, corpus):
        X, y = corpus
        assert list(X.columns) == [
            "audio",
            "sample_rate",
            "patient",
            "task",
            "sex",
            "age",
            "device",
        ]
        assert X["patient"].tolist() == [f"S{k // 2 + 1:03d}" for k in range(12)]
        assert X["task"].tolist() == ["phonationA", "rhythmPA"] * 6
        assert set(X["device"]) <= set(DEVICES)
        assert set(X["sex"]) <= {"F", "M"}
        assert isinstance(y, np.ndarray)
        assert_array_equal(y[::2], y[1::2])
        assert sorted(y[::2]) == [0, 0, 0, 1, 1, 1]
        for samples in X["audio"]:
            assert samples.dtype == np.float32
            assert 0.8 * RATE - 1 <= len(samples) <= 1.2 * RATE + 1
            assert 0.1 < np.abs(samples).max() <= 1
        for column in ("sex", "age", "device"):
            assert (X.groupby("patient")[column].nunique() == 1).all()

    def test_recordings_pass_the_check(self, corpus):
        X, y = corpus
        clean, report = check_recordings(X, y)
        assert len(clean) == len(X)
        assert report["ok"].all()

    def test_same_seed_same_corpus_with_any_number_of_workers(self, corpus):
        X, y = corpus
        again, labels = make_dysarthric_speech(6, random_state=0, duration=(0.8, 1.2), n_jobs=2)
        assert_array_equal(y, labels)
        pd.testing.assert_frame_equal(X.drop(columns="audio"), again.drop(columns="audio"))
        for one, other in zip(X["audio"], again["audio"], strict=True):
            assert_array_equal(one, other)

    def test_another_seed_is_another_corpus(self, corpus):
        other, _ = make_dysarthric_speech(6, random_state=1, duration=(0.8, 1.2))
        assert len(other["audio"][0]) != len(corpus[0]["audio"][0])

    def test_a_recording_does_not_depend_on_the_other_tasks_or_rows(self, corpus):
        X, _ = corpus
        alone, _ = make_dysarthric_speech(6, tasks="rhythmPA", random_state=0, duration=(0.8, 1.2))
        for one, other in zip(X["audio"][1::2], alone["audio"], strict=True):
            assert_array_equal(one, other)

    def test_the_global_generator_is_left_alone(self):
        np.random.seed(3)  # noqa: NPY002
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        for seed in (None, 0):
            make_dysarthric_speech(2, tasks="phonationA", duration=0.5, random_state=seed)
        assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002

    @pytest.mark.parametrize("kind", [np.random.RandomState, np.random.default_rng])
    def test_generators_are_seeds_that_move_on(self, kind):
        def first(state):
            X, _ = make_dysarthric_speech(2, tasks="phonationA", duration=0.5, random_state=state)
            return X["audio"][0]

        state = kind(5)
        one, two = first(state), first(state)
        assert_array_equal(one, first(kind(5)))
        assert not np.array_equal(one, two)

    def test_without_a_seed_no_two_corpora_are_alike(self):
        one, two = (
            make_dysarthric_speech(2, tasks="phonationA", duration=0.5)[0]["audio"][0]
            for _ in range(2)
        )
        assert not np.array_equal(one, two)

    @pytest.mark.parametrize("task", TASKS)
    @pytest.mark.parametrize("sample_rate", [8000, 44100])
    def test_every_task_at_other_rates(self, task, sample_rate):
        X, _ = make_dysarthric_speech(
            2, tasks=[task], sample_rate=sample_rate, duration=0.6, random_state=0
        )
        for samples, rate in zip(X["audio"], X["sample_rate"], strict=True):
            assert rate == sample_rate
            assert len(samples) == pytest.approx(0.6 * sample_rate, abs=2)
            assert np.isfinite(samples).all()
            assert np.abs(samples).max() > 0.05

    def test_files(self, tmp_path):
        folder = tmp_path / "deep" / "corpus"
        arguments = {"tasks": ["phonationA"], "duration": 0.5, "random_state": 0}
        X, y = make_dysarthric_speech(3, folder=folder, **arguments)
        memory, labels = make_dysarthric_speech(3, **arguments)
        assert_array_equal(y, labels)
        assert sorted(p.name for p in folder.iterdir()) == [
            f"S00{k}_phonationA.wav" for k in (1, 2, 3)
        ]
        for path, samples in zip(X["audio"], memory["audio"], strict=True):
            assert isinstance(path, str)
            read, rate = soundfile.read(path, dtype="float32")
            assert rate == RATE
            assert_allclose(read, samples, atol=1e-4)
        assert check_recordings(X, y)[1]["ok"].all()


class TestClasses:
    def classes_of(self, n_patients, **arguments):
        return make_dysarthric_speech(
            n_patients, tasks="phonationA", duration=0.5, random_state=0, **arguments
        )[1]

    def test_labels_are_ordered_from_healthy_to_most_severe(self):
        X, y = make_dysarthric_speech(
            24,
            classes=["HC", "mild", "severe"],
            tasks="rhythmPA",
            difficulty=0.0,
            duration=2.0,
            random_state=0,
        )
        pace = [count_syllables(samples) for samples in X["audio"]]
        mean = pd.Series(pace).groupby(y).mean()
        assert mean["HC"] > mean["mild"] > mean["severe"]

    def test_weights_are_proportions(self):
        y = self.classes_of(10, weights=[0.7, 0.3])
        assert np.bincount(y).tolist() == [7, 3]
        assert_array_equal(y, self.classes_of(10, weights=[0.7]))

    def test_every_class_gets_a_patient(self):
        y = self.classes_of(6, classes=4, weights=[1.0, 0.0, 0.0, 0.0])
        assert np.bincount(y).tolist() == [3, 1, 1, 1]

    def test_levels_differ_between_recordings(self, corpus):
        peaks = [20 * np.log10(np.abs(samples).max()) for samples in corpus[0]["audio"]]
        assert np.ptp(peaks) > 8

    def test_the_order_of_patients_does_not_show_the_class(self):
        y = self.classes_of(30)
        assert len(np.unique(y[:10])) == 2
        assert len(np.unique(y[-10:])) == 2


class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"n_patients": 1}, "less than the number of classes, 2"),
            ({"n_patients": 0}, r"'n_patients' .* int in the range \[1, inf\)\. Got 0 instead"),
            ({"n_patients": 4.0}, r"'n_patients' .* int in the range \[1, inf\)\. Got 4\.0"),
            ({"tasks": ["phonationY"]}, "unknown task 'phonationY'.*rhythmKA"),
            ({"tasks": []}, "empty.*rhythmKA"),
            ({"tasks": ["rhythmPA", "rhythmPA"]}, "twice"),
            ({"classes": 1}, r"'classes' .* int in the range \[2, inf\) or an array-like"),
            ({"classes": ["a"]}, "at least two classes"),
            ({"tasks": None}, "'tasks' .* 'str' or an array-like"),
            ({"classes": ["a", "a"]}, "must differ"),
            ({"classes": "ab"}, "'classes' .* an array-like. Got 'ab' instead"),
            ({"weights": [0.5, 0.2, 0.3]}, "weights needs 2"),
            ({"weights": [1.5, -0.5]}, "non-negative"),
            ({"weights": [1.5]}, "non-negative"),
            ({"weights": [0, 0]}, "non-negative and not all zero"),
            ({"difficulty": "brutal"}, "'difficulty' .* str among {.*'medium'.*}"),
            ({"difficulty": 1.2}, r"'difficulty' .* range \[0\.0, 1\.0\]\. Got 1\.2"),
            ({"difficulty": float("nan")}, r"'difficulty' .* range \[0\.0, 1\.0\]\. Got nan"),
            ({"duration": -1}, "at least 0.5 s"),
            ({"duration": (3, 2)}, "at least 0.5 s"),
            ({"duration": "long"}, "seconds or a pair"),
            ({"duration": float("inf")}, "at least 0.5 s"),
            ({"sample_rate": 4000}, r"'sample_rate' .* range \[8000\.0, inf\)"),
            ({"sample_rate": 16000.5}, "whole number"),
            ({"sample_rate": float("nan")}, r"'sample_rate' .* range \[8000\.0, inf\)"),
            ({"random_state": -1}, "random_state"),
            ({"random_state": "luck"}, "random_state"),
        ],
    )
    def test_error_names_the_argument(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            make_dysarthric_speech(**{"n_patients": 4, **arguments})

    def test_the_documented_signature(self):
        parameters = inspect.signature(make_dysarthric_speech).parameters
        assert next(iter(parameters)) == "n_patients"
        # getdoc strips the indentation, which Python 3.13 does by itself already.
        doc = inspect.getdoc(make_dysarthric_speech)
        documented = re.findall(r"^(\w+) : ", doc, re.MULTILINE)
        assert documented[: len(parameters)] == list(parameters)


class TestLeakage:
    """Nothing but the voice may show the class."""

    @pytest.fixture(scope="class")
    @staticmethod
    def twins():
        """The same patients, once almost all healthy and once almost all ill."""
        return [
            make_dysarthric_speech(
                10, difficulty="easy", weights=weights, duration=(0.5, 0.8), random_state=0
            )
            for weights in ([0.9, 0.1], [0.1, 0.9])
        ]

    def test_a_patient_would_have_been_recorded_the_same_way_with_another_class(self, twins):
        (healthy, _), (ill, _) = twins
        for column in ("patient", "task", "sex", "age", "device"):
            assert_array_equal(healthy[column], ill[column])
        for one, other in zip(healthy["audio"], ill["audio"], strict=True):
            assert len(one) == len(other)
            assert np.abs(one).max() == pytest.approx(np.abs(other).max(), rel=1e-6)

    def test_but_would_have_spoken_differently(self, twins):
        (healthy, y), (ill, z) = twins
        for one, other, a, b in zip(healthy["audio"], ill["audio"], y, z, strict=True):
            assert np.array_equal(one, other) == (a == b)

    def test_with_difficulty_one_the_class_changes_nothing(self):
        one, two = (
            make_dysarthric_speech(
                6, difficulty=1.0, weights=weights, duration=0.5, random_state=0
            )[0]
            for weights in ([0.8, 0.2], [0.2, 0.8])
        )
        for a, b in zip(one["audio"], two["audio"], strict=True):
            assert_array_equal(a, b)

    def test_no_shortcut_predicts_the_class(self):
        X, y = make_dysarthric_speech(
            240, tasks="phonationA", difficulty="easy", duration=(0.5, 0.7), random_state=1
        )
        audio = X["audio"]
        shortcuts = {
            "length": [len(a) for a in audio],
            "peak": [np.abs(a).max() for a in audio],
            "offset": [a.mean() for a in audio],
            "silence": [np.argmax(np.abs(a) > 0.1 * np.abs(a).max()) / len(a) for a in audio],
            "noise": [a[:200].std() for a in audio],
            "age": X["age"],
            "sex": X["sex"] == "F",
            **{device: X["device"] == device for device in DEVICES},
        }
        for name, values in shortcuts.items():
            assert abs(roc_auc_score(y, np.asarray(values, float)) - 0.5) < 0.12, name


class TestDifficulty:
    @pytest.fixture(scope="class")
    @staticmethod
    def scores():
        smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02)
        model = make_pipeline(StandardScaler(), SVC())
        folds = StratifiedKFold(5, shuffle=True, random_state=0)  # one recording per patient
        scores, features = {}, {}
        for difficulty in ("easy", "medium", "hard"):
            X, y = make_dysarthric_speech(
                48, tasks="phonationA", difficulty=difficulty, duration=0.8, random_state=2
            )
            table = pd.concat([smile.process_signal(a, RATE) for a in X["audio"]])
            decision = cross_val_predict(
                model, table.to_numpy(), y, cv=folds, method="decision_function"
            )
            scores[difficulty] = roc_auc_score(y, decision)
            features[difficulty] = table.groupby(y).mean()
        return scores, features

    def test_is_monotone_and_never_trivial_by_default(self, scores):
        auc, _ = scores
        assert auc["easy"] > 0.95
        assert 0.75 < auc["medium"] < 0.96
        assert 0.5 < auc["hard"] < 0.8
        assert auc["easy"] > auc["medium"] > auc["hard"]

    def test_opensmile_hears_what_the_clinic_reports(self, scores):
        means = scores[1]["easy"]
        for feature, sign in [
            ("jitterLocal_sma3nz_amean", 1),
            ("shimmerLocaldB_sma3nz_amean", 1),
            ("HNRdBACF_sma3nz_amean", -1),
            ("F0semitoneFrom27.5Hz_sma3nz_stddevNorm", 1),
        ]:
            assert sign * (means.loc[1, feature] - means.loc[0, feature]) > 0, feature


def test_interrupted_work_leaves_complete_recordings_only(tmp_path, monkeypatch):
    write, written = soundfile.write, []

    def interrupted(file, *args, **kwargs):
        written.append(file)
        write(file, *args, **kwargs)
        if len(written) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(soundfile, "write", interrupted)
    arguments = {"duration": 0.5, "folder": tmp_path, "random_state": 0}
    with pytest.raises(KeyboardInterrupt):
        make_dysarthric_speech(2, tasks=["phonationA", "rhythmPA"], **arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["S001_phonationA.wav"]
    assert (tmp_path / "S001_phonationA.wav").stat().st_mode & 0o444


def test_a_recording_that_cannot_be_replaced(tmp_path, monkeypatch):
    """Windows does not replace files that are open."""

    def fail(source, target):
        raise PermissionError(13, "the file is open in another process", str(target))

    (tmp_path / "S001_phonationA.wav").write_bytes(b"open")
    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(PermissionError, match=r"S001_phonationA\.wav"):
        make_dysarthric_speech(2, tasks="phonationA", duration=0.5, folder=tmp_path, random_state=0)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"open"]
