import numpy as np
import pandas as pd
import pytest
import soundfile

from sklearn_dysarthria import StratifiedPatientKFold
from sklearn_dysarthria.datasets import minsk_overlap
from sklearn_dysarthria.exceptions import MissingColumnError

RATE = 16_000


@pytest.fixture
def voices(trees):
    """Four speakers' voices of 0.7 s, brought to 16 kHz by repeating samples of noise and tone."""
    n = np.arange(int(0.7 * RATE))
    return {
        speaker: np.interp(n / 2, np.arange(5600), trees.voice(seed, 0.5))
        for seed, speaker in enumerate(["ALS008", "ALS020", "HC021", "HC106"])
    }


def table(recordings, task="phonationA"):
    return pd.DataFrame(
        {
            "audio": list(recordings.values()),
            "sample_rate": RATE,
            "patient": list(recordings),
            "task": task,
        }
    )


def test_by_code_and_by_samples(voices):
    older = table(
        {
            "ALS008": voices["HC106"] * 0.3,  # another code and level
            "ALS020": voices["ALS020"][1001:-2003],  # cut elsewhere
            "HC021": voices["ALS008"],  # the code belongs to another person in the newer corpus
            "HC077": np.random.default_rng(0).normal(size=9000),
        }
    )
    found = minsk_overlap(older, table(voices))
    expected = [
        ("ALS008", "ALS008", True, False),
        ("ALS008", "HC106", False, True),
        ("ALS020", "ALS020", True, True),
        ("HC021", "ALS008", False, True),
        ("HC021", "HC021", True, False),
    ]
    names = ["patient2019", "patient2020", "same_code", "same_recording"]
    assert list(found.columns) == [*names, "similarity"]
    assert list(found[names].itertuples(index=False, name=None)) == expected
    assert (found.loc[found["same_recording"], "similarity"] > 0.95).all()
    assert found["similarity"].between(0, 1).all()
    assert (found.loc[~found["same_recording"], "similarity"] < 0.6).all()


def test_formats_do_not_matter(voices, tmp_path):
    for subtype in ("PCM_16", "FLOAT"):
        (tmp_path / subtype).mkdir()
        for speaker, samples in voices.items():
            soundfile.write(tmp_path / subtype / f"{speaker}.wav", samples, RATE, subtype=subtype)
    first, second = (
        table({speaker: str(tmp_path / subtype / f"{speaker}.wav") for speaker in voices})
        for subtype in ("PCM_16", "FLOAT")
    )
    found = minsk_overlap(first, second)
    assert found["same_recording"].all()
    assert found["patient2019"].tolist() == found["patient2020"].tolist() == list(voices)
    assert (found["similarity"] > 0.9999).all()


def test_similarity_is_the_largest_correlation_over_shifts():
    rng = np.random.default_rng(1)
    mine, theirs = rng.normal(size=40), rng.normal(size=25)
    theirs[3:23] += mine[7:27]
    tables = [table({"HC001": samples}).assign(sample_rate=8000) for samples in (mine, theirs)]
    mine, theirs = (samples - samples.mean() for samples in (mine, theirs))
    best = 0.0
    for shift in range(-24, 40):
        pairs = [(mine[k + shift], theirs[k]) for k in range(25) if 0 <= k + shift < 40]
        if len(pairs) >= 12.5:
            a, b = np.array(pairs).T
            best = max(best, abs(a @ b) / np.sqrt((a @ a) * (b @ b)))
    assert minsk_overlap(*tables)["similarity"].tolist() == pytest.approx([best], rel=1e-5)


def test_silent_ends_are_not_similar():
    rng = np.random.default_rng(2)
    one, other = (np.r_[rng.normal(size=8000), np.full(8000, 1e-9)] for _ in range(2))
    found = minsk_overlap(table({"HC001": one}), table({"HC001": other}))
    assert found["similarity"][0] < 0.3


def test_other_tasks_are_not_compared(voices):
    newer = pd.concat([table(voices), table(voices, "phonationI").assign(audio=None)])
    assert len(minsk_overlap(table(voices), newer)) == 4
    assert minsk_overlap(table(voices, "phonationI"), newer).empty


def test_one_line_keeps_speakers_on_one_side(voices):
    older = table({"HC021": voices["ALS008"], "ALS020": voices["ALS020"]})
    newer = table(voices)
    same = minsk_overlap(older, newer).query("same_recording")
    older["patient"] = older["patient"].replace(
        dict(zip(same["patient2019"], same["patient2020"], strict=True))
    )
    assert older["patient"].tolist() == ["ALS008", "ALS020"]
    X = pd.concat([older, newer], ignore_index=True)
    y = X["patient"].str[:2]
    for train, test in StratifiedPatientKFold(2).split(X, y):
        assert not set(X["patient"][train]) & set(X["patient"][test])


@pytest.mark.parametrize("threshold", [0, -1, 1.01, float("nan")])
def test_impossible_threshold(voices, threshold):
    with pytest.raises(ValueError, match="is not a similarity"):
        minsk_overlap(table(voices), table(voices), threshold=threshold)


def test_missing_columns(voices):
    with pytest.raises(MissingColumnError, match="'task'"):
        minsk_overlap(table(voices).drop(columns="task"), table(voices))
    with pytest.raises(MissingColumnError, match="'patient'"):
        minsk_overlap(table(voices), table(voices).drop(columns="patient"))


def test_real_speakers_are_distinguished(minsk2020_home, tmp_path):
    from sklearn_dysarthria import fetch_minsk2020_als, load_waveform

    X, _ = fetch_minsk2020_als(data_home=minsk2020_home, tasks="phonationA", return_X_y=True)
    X = X.iloc[[0, 20, 31, 32, 33, 62, 63]].reset_index(drop=True)  # HC002 is nearest to others
    cut = []
    for i in range(len(X)):
        rate = int(X["sample_rate"][i])
        samples = load_waveform(X.iloc[i], rate)
        cut.append(0.5 * samples[len(samples) // 10 + i : -len(samples) // 5])
    found = minsk_overlap(X.assign(audio=cut), X, threshold=0.5)
    assert found["patient2019"].tolist() == found["patient2020"].tolist() == X["patient"].tolist()
    assert (found["similarity"] > 0.9).all()
