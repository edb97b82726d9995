"""Pairs of recordings, which a fusion of tasks is trained on."""

from pathlib import Path

import numpy as np
import pytest

from sklearn_dysarthria.patients.fusion._items import TaskRecordings, sorted_patients


def recordings(rows):
    patients, tasks, audio = zip(*rows, strict=True)
    values = np.arange(len(rows), dtype=np.float32)[:, None]
    return TaskRecordings(values, np.array(patients, object), np.array(tasks, object), audio)


def test_pairs_by_take_and_begins_again():
    paired = recordings(
        [
            ("P", "b", "p_b_1.wav"),
            ("P", "a", "p_a_10.wav"),
            ("P", "a", "p_a_2.wav"),
            ("Q", "b", "q_b_1.wav"),
            ("P", "a", "p_a_1.wav"),
            ("P", "b", "p_b_2.wav"),
        ]
    ).pair(["a", "b"], ["Q", "P"])
    assert paired.patients.tolist() == ["Q", "P", "P", "P"]
    assert paired.rows.tolist() == [[-1, 3], [4, 0], [2, 5], [1, 0]]
    assert paired.present.tolist() == [[False, True], [True, True], [True, True], [True, True]]
    assert paired[np.array([1, 3])].tolist() == [[[4.0], [0.0]], [[1.0], [0.0]]]
    means = paired.mean_by_patient(np.array([[1.0], [2.0], [3.0], [7.0]]), ["P", "Q", "R"])
    np.testing.assert_array_equal(means, [[4.0], [1.0], [np.nan]])


def test_pairs_do_not_copy_recordings():
    everything = recordings([("P", "a", f"{n}.wav") for n in range(50)] + [("P", "b", "b.wav")])
    paired = everything.pair(["a", "b"], ["P"])
    assert len(paired) == 50
    assert paired.values is everything.values


@pytest.mark.parametrize("kind", ["names", "numbers in names", "one name", "arrays", "paths"])
def test_pairs_do_not_depend_on_the_order_of_rows(kind):
    rng = np.random.default_rng(0)
    names = {
        "names": [f"take {n}" for n in "zyxwvu"],
        "numbers in names": ["a1b", "a1b2", "a01b", "a10", "a2", "1"],
        "one name": ["same.wav"] * 6,
        "arrays": list(rng.normal(size=(6, 4))),
        "paths": [Path(f"x{n}.wav") for n in range(6)],
    }[kind]
    rows = [("P", "ab"[n % 2], name) for n, name in enumerate(names)]
    values = rng.normal(size=(6, 2)).astype(np.float32)
    expected = None
    for _ in range(5):
        order = rng.permutation(6)
        patients, tasks, audio = zip(*[rows[n] for n in order], strict=True)
        shuffled = TaskRecordings(
            values[order], np.array(patients, object), np.array(tasks, object), audio
        )
        items = shuffled.pair(["a", "b"], ["P"])[:]
        expected = items if expected is None else expected
        np.testing.assert_array_equal(items, expected)


def test_patients_of_any_kind_are_sorted_alike():
    patients = ["P10", 3, "P2", 10, 2.5, ("a", 1), "P2"]
    expected = sorted_patients(patients)
    assert sorted_patients(patients[::-1]) == expected
    assert len(expected) == 6
    assert [p for p in expected if isinstance(p, str)] == ["P2", "P10"]
