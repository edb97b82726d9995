"""The compiled loops of the image recipe, against SciPy and torch."""

import os
import subprocess
import sys
import textwrap

import numba
import numpy as np
import pytest
import scipy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_dysarthria.exceptions import CacheWarning
from sklearn_dysarthria.features import _spectrogram as kernels
from sklearn_dysarthria.features._spectrogram import derivative


@pytest.mark.parametrize("n_fft", [2, 3, 4, 5, 64, 401, 2048])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_window_is_applied_to_the_spectrum(n_fft, dtype):
    frames = np.random.default_rng(0).normal(size=(5, n_fft)) + 3
    spectra = scipy.fft.rfft(frames.astype(dtype))
    power = np.full(spectra.shape, np.nan, dtype=np.float32)
    loudest = kernels.hann_power(spectra.view(dtype), n_fft % 2 == 0, power)
    windowed = np.fft.rfft(frames * scipy.signal.windows.hann(n_fft, sym=False))
    truth = 16 * np.abs(windowed) ** 2
    np.testing.assert_allclose(power, truth, rtol=1e-4, atol=1e-6 * truth.max())
    few = np.full((5, 2), np.nan, dtype=np.float32)
    assert kernels.hann_power(spectra.view(dtype), n_fft % 2 == 0, few) == loudest
    np.testing.assert_array_equal(few, power[:, :2])
    energies = (np.abs(spectra) ** 2).sum(axis=1)
    assert loudest == pytest.approx(energies.max(), rel=1e-5)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(n_frames=st.integers(1, 40), n_bands=st.integers(1, 40), order=st.integers(1, 2))
def test_derivatives_are_those_of_scipy(n_frames, n_bands, order):
    level = np.random.default_rng(n_frames).normal(size=(n_frames, n_bands)).astype(np.float32)
    width = min(9, n_frames - 1 + n_frames % 2)
    taps = derivative(n_frames, order)
    if width <= order:
        assert taps is None
        return
    derived = np.full_like(level, np.nan)
    kernels.correlate(level, taps, derived)
    truth = scipy.signal.savgol_filter(level, width, order, deriv=order, axis=0, mode="interp")
    np.testing.assert_allclose(derived, truth, atol=1e-5)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(n_rows=st.integers(1, 400), n_columns=st.integers(1, 40), n_out=st.integers(1, 300))
def test_resizing_is_that_of_torch(n_rows, n_columns, n_out):
    rows = np.random.default_rng(n_rows).normal(size=(n_rows, n_columns)).astype(np.float32)
    out = np.full((n_columns, n_out), np.nan, dtype=np.float32)
    kernels.resize(rows, out)
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(rows.T.astype(np.float64))[None, None],
        (n_columns, n_out),
        mode="bilinear",
        antialias=True,
        align_corners=False,
    )
    np.testing.assert_allclose(out, theirs[0, 0], atol=1e-5)


def double(x):
    return 2 * x


def test_without_a_folder_to_keep_it_everything_is_compiled_again(monkeypatch):
    real = numba.njit

    def njit(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(**options)

    monkeypatch.setattr(numba, "njit", njit)
    with pytest.warns(CacheWarning, match="double is compiled for this process alone.*no locator"):
        compiled = kernels._compiled(double)
    assert compiled(3) == 6


def test_a_cache_that_fails_brings_a_warning_and_a_result(tmp_path):
    code = """
        import warnings, numpy as np
        from sklearn_dysarthria.features._spectrogram import correlate
        out = np.empty((3, 2), dtype="float32")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(2):
                correlate(np.eye(3, 2, dtype="float32"), np.ones(1, dtype="float32"), out)
        assert (out == np.eye(3, 2)).all()
        print(*(str(w.message)[:45] for w in caught))
    """

    def run(before=""):
        command = [sys.executable, "-c", before + textwrap.dedent(code)]
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    warning = "correlate is compiled for this process alone"
    no_room = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100));"
    no_room += "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    assert run(no_room).startswith(warning)
    assert run() == ""
    for kind, size in [("*.nbc", 1000), ("*.nbi", 0)]:  # the code, then the index
        kept = list(tmp_path.rglob(kind))
        assert kept
        for file in kept:
            os.truncate(file, size)
        assert run().startswith(warning)


def test_wrong_arguments_are_errors():
    with pytest.raises(Exception, match=r"NoneType|none|subscript"):
        kernels.resize(None, None)


def test_the_package_does_not_import_numba_before_it_is_needed():
    code = (
        "import sys, sklearn_dysarthria as s\n"
        "s.LogMelDeltaImages(vad=s.EnergyVAD())\n"
        "assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
