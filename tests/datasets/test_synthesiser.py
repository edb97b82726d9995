"""The speech synthesiser: does it sound as asked?  Measured on the samples."""

from dataclasses import replace

import librosa
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.signal import butter, find_peaks, sosfiltfilt, welch
from sklearn.metrics import roc_auc_score

from sklearn_dysarthria.datasets.synthetic._corpus import DEVICES, DIFFICULTIES, record
from sklearn_dysarthria.datasets.synthetic._source_filter import (
    Phonation,
    glottal_source,
    shape_tract,
    through_tract,
    tilt_filter,
    wandering,
)
from sklearn_dysarthria.datasets.synthetic._speakers import (
    SOURCES,
    STOPS,
    TRAITS,
    articulation_of,
    draw_speaker,
    latent_severity,
    traits_today,
    vowel_formants,
)
from sklearn_dysarthria.datasets.synthetic._utterances import (
    Articulation,
    plan_syllables,
    sustained_vowel,
    syllable_train,
)

RATE = 16000
STEADY = Phonation(
    f0=110.0,
    jitter=0.0,
    shimmer=0.0,
    hnr=60.0,
    open_quotient=0.6,
    tilt=6.0,
    tremor_rate=6.0,
    pitch_tremor=0.0,
    pitch_drift=0.0,
    loudness_tremor=0.0,
    loudness_drift=0.0,
)
AH = np.array([768.0, 1333, 2522, 3500, 4500, 5500, 6500, 7500])
EE = np.array([342.0, 2322, 3000, 3500, 4500, 5500, 6500, 7500])
CLEAR = Articulation(
    rate=5.0,
    irregularity=0.0,
    pause_probability=0.0,
    incomplete_probability=0.0,
    transition=0.04,
    burst_level=-9.0,
    loudness_spread=0.0,
    voice_onset_time=0.015,
    burst_band=STOPS["P"].burst_band,
    locus=np.array([300.0, 950, 2200, 3500, 4500, 5500, 6500, 7500]),
)


def rng(seed=0):
    return np.random.default_rng(seed)


def vowel(formants=AH, nasality=0.0, seconds=2.0, seed=0, **changes):
    phonation = replace(STEADY, **changes)
    return sustained_vowel(phonation, formants, nasality, int(seconds * RATE), RATE, rng(seed))


def train(seconds=4.0, seed=0, phonation=STEADY, **changes):
    articulation = replace(CLEAR, **changes)
    return syllable_train(phonation, articulation, AH, 0.0, int(seconds * RATE), RATE, rng(seed))


def middle(samples):
    return samples[len(samples) // 10 : -len(samples) // 10]


def band_level(samples, low, high):
    frequencies, power = welch(samples, RATE, nperseg=2048)
    return 10 * np.log10(power[(frequencies >= low) & (frequencies < high)].sum())


def envelope_in_db(samples):
    sos = butter(2, 25, fs=RATE, output="sos")
    smooth = np.maximum(sosfiltfilt(sos, np.abs(samples)), 1e-9)
    return 20 * np.log10(smooth / smooth.max())


def syllable_times(samples):
    peaks, _ = find_peaks(envelope_in_db(samples), height=-15, prominence=6, distance=RATE // 20)
    return peaks / RATE


def periods_and_peaks(jitter, shimmer):
    """Measure the closures of the glottal pulses themselves, at a fine time resolution."""
    fine = 96000
    source = glottal_source(
        replace(STEADY, jitter=jitter, shimmer=shimmer), 4 * fine, fine, rng()
    ).pulses
    closures, found = find_peaks(-source, height=0.3 * np.abs(source).max(), distance=fine // 250)
    return np.diff(closures) / fine, found["peak_heights"]


def mean_difference_in_percent(values):
    return 100 * np.mean(np.abs(np.diff(values))) / np.mean(values)


class TestVoice:
    @pytest.mark.parametrize("f0", [90.0, 140.0, 230.0])
    def test_pitch_is_the_requested_one(self, f0):
        measured = librosa.yin(vowel(f0=f0), fmin=60, fmax=400, sr=RATE)
        assert np.median(measured) == pytest.approx(f0, rel=0.01)

    @pytest.mark.parametrize("jitter", [0.5, 2.0])
    def test_jitter_is_the_requested_one(self, jitter):
        periods, _ = periods_and_peaks(jitter, 0.0)
        assert mean_difference_in_percent(periods) == pytest.approx(jitter, rel=0.2)

    @pytest.mark.parametrize("shimmer", [2.0, 9.0])
    def test_shimmer_is_the_requested_one(self, shimmer):
        _, peaks = periods_and_peaks(0.0, shimmer)
        assert mean_difference_in_percent(peaks) == pytest.approx(shimmer, rel=0.2)

    def test_a_steady_voice_has_neither(self):
        periods, peaks = periods_and_peaks(0.0, 0.0)
        assert mean_difference_in_percent(periods) < 0.15
        assert mean_difference_in_percent(peaks) < 1.0

    @pytest.mark.parametrize("hnr", [5.0, 12.0, 20.0])
    def test_noise_is_as_far_below_the_harmonics_as_requested(self, hnr):
        f0 = 100.0  # whole samples per period: shifting by one period aligns the harmonics
        voice = middle(vowel(f0=f0, hnr=hnr, seconds=4))
        lag = int(RATE / f0)
        harmonic = np.mean(voice[:-lag] * voice[lag:])
        measured = 10 * np.log10(harmonic / (np.mean(voice**2) - harmonic))
        assert measured == pytest.approx(hnr, abs=1.5)

    def test_aliasing_stays_below_a_quiet_breath(self):
        f0 = 237.0  # its aliases fall between its harmonics
        source = glottal_source(replace(STEADY, f0=f0), 4 * RATE, RATE, rng())
        frequencies, power = welch(source.pulses, RATE, "blackmanharris", nperseg=8192)
        harmonic = np.abs(frequencies / f0 - np.round(frequencies / f0)) * f0 < 15
        assert 10 * np.log10(power[harmonic].sum() / power[~harmonic].sum()) > 40

    @pytest.mark.parametrize(("extent", "low", "high"), [(0.0, 0.0, 0.05), (0.8, 0.5, 1.1)])
    def test_tremor_moves_the_pitch_at_its_rate(self, extent, low, high):
        voice = vowel(pitch_tremor=extent, seconds=6)
        pitch = librosa.yin(voice, fmin=60, fmax=250, sr=RATE, frame_length=1024, hop_length=160)
        semitones = 12 * np.log2(middle(pitch) / np.median(pitch))
        in_band = sosfiltfilt(butter(2, [4, 9], "bandpass", fs=100, output="sos"), semitones)
        assert low <= in_band.std() <= high

    def test_loudness_drifts_by_the_requested_extent(self):
        levels = [
            middle(envelope_in_db(vowel(loudness_drift=3.0, seconds=6, seed=seed))).std()
            for seed in range(4)
        ]
        assert 1.5 < np.mean(levels) < 4.0
        assert middle(envelope_in_db(vowel(seconds=3))).std() < 0.5

    def test_tilt_filter_attenuates_three_kilohertz(self):
        b, a = tilt_filter(12.0, RATE)
        z = np.exp(-2j * np.pi * 3000 / RATE)
        assert 20 * np.log10(abs(b[0] / (a[0] + a[1] * z))) == pytest.approx(-12.0)
        assert sum(b) / sum(a) == pytest.approx(1.0)

    @pytest.mark.parametrize("band", [(0.0, 1.0), (4.0, 8.0)])
    def test_wandering_has_unit_deviation(self, band):
        contours = [wandering(10 * RATE, RATE, band, rng(seed)) for seed in range(20)]
        assert np.std(contours) == pytest.approx(1.0, abs=0.15)


def formants_by_lpc(samples, order=18):
    emphasised = librosa.effects.preemphasis(middle(samples).astype(float))
    roots = np.roots(librosa.lpc(emphasised, order=order))
    roots = roots[(roots.imag > 0) & (np.abs(roots) > 0.9)]
    return np.sort(np.angle(roots) * RATE / (2 * np.pi))


class TestVocalTract:
    @pytest.mark.parametrize("formants", [AH, EE], ids=["a", "i"])
    def test_linear_prediction_finds_the_requested_formants(self, formants):
        found = formants_by_lpc(vowel(formants, hnr=30.0))
        for formant in formants[:3]:
            assert np.abs(found / formant - 1).min() < 0.06

    def test_nasality_fills_the_bottom_and_empties_the_middle(self):
        oral, nasal = (vowel(EE, nasality=n, hnr=25.0) for n in (0.0, 1.0))
        for voice in (oral, nasal):
            voice /= np.std(voice)
        assert band_level(nasal, 700, 1100) - band_level(oral, 700, 1100) > 2
        assert band_level(nasal, 2000, 3000) - band_level(oral, 2000, 3000) < -2

    def test_moving_formants_do_not_click(self):
        hop = 64
        track = np.tile(AH, (60, 1))
        track[:, 0] = np.where(np.arange(60) % 2, 768, 300)
        source = np.sin(2 * np.pi * 200 * np.arange(60 * hop) / RATE)[None]
        moving, still = (
            through_tract(source, shape_tract(formants, 0.0, RATE, hop))[0, 500:]
            for formants in (track, np.tile(AH, (60, 1)))
        )
        assert band_level(moving, 4000, 8000) - band_level(moving, 0, 1000) < -45
        assert np.abs(moving).max() < 4 * np.abs(still).max()

    def test_formants_beyond_half_the_sampling_rate_are_left_out(self):
        tract = shape_tract(AH[None], 0.0, 8000, 32)
        assert len(tract.fixed) == 2 + 1  # the nose's pairs, and F4 alone of five upper formants


class TestSyllables:
    @pytest.mark.parametrize("rate", [2.5, 4.0, 6.5])
    def test_rate_is_the_requested_one(self, rate):
        times = syllable_times(train(rate=rate))
        assert 1 / np.mean(np.diff(times)) == pytest.approx(rate, rel=0.05)

    def test_irregularity_is_the_requested_one(self):
        intervals = np.concatenate(
            [np.diff(syllable_times(train(seconds=8, irregularity=0.2, seed=s))) for s in range(4)]
        )
        assert np.std(intervals) / np.mean(intervals) == pytest.approx(0.2, abs=0.06)
        regular = np.diff(syllable_times(train()))
        assert np.std(regular) / np.mean(regular) < 0.03

    def test_pauses_lengthen_the_train(self):
        without, with_pauses = (
            len(plan_syllables(replace(CLEAR, pause_probability=p), 20.0, rng())) for p in (0, 0.3)
        )
        assert with_pauses < 0.8 * without

    def test_closures_are_silent_unless_incomplete(self):
        complete, leaking = (
            middle(envelope_in_db(train(incomplete_probability=p))) for p in (0.0, 1.0)
        )
        assert np.percentile(complete, 5) < -38
        assert np.percentile(leaking, 5) > -32

    def test_bursts_differ_by_place(self):
        centroids = {}
        for place, stop in STOPS.items():
            voice = train(
                phonation=replace(STEADY, hnr=60.0),
                burst_band=stop.burst_band,
                burst_level=-3.0,
                rate=4.0,
            )
            plan = plan_syllables(replace(CLEAR, rate=4.0), 4.0, rng())
            starts = (plan.release * RATE).astype(int)
            bursts = np.concatenate([voice[s : s + 160] for s in starts[1:]])
            frequencies, power = welch(bursts, RATE, nperseg=160)
            centroids[place] = np.sum(frequencies * power) / power.sum()
        assert centroids["P"] < centroids["K"] - 300
        assert centroids["K"] < centroids["T"] - 1000

    def test_weak_bursts_are_weak(self):
        hiss = STOPS["T"].burst_band
        strong, weak = (
            band_level(train(burst_level=level, burst_band=hiss), 4000, 6000) for level in (-6, -30)
        )
        assert strong - weak > 10

    def test_formants_glide_from_consonant_to_vowel(self):
        articulation = {
            "rate": 2.0,
            "transition": 0.12,
            "locus": np.array([300.0, 1900, 2600, *AH[3:]]),
        }
        voice = train(phonation=replace(STEADY, hnr=30.0), **articulation)
        plan = plan_syllables(replace(CLEAR, **articulation), 4.0, rng())

        def second_formant(after):
            start = int((plan.release[1] + after) * RATE)
            found = formants_by_lpc(voice[start : start + 480])
            return found[(found > 1000) & (found < 2300)][0]

        assert second_formant(0.03) > second_formant(0.2) + 150

    def test_even_a_short_train_holds_a_syllable(self):
        assert len(plan_syllables(replace(CLEAR, rate=1.2), 0.4, rng())) == 1
        assert np.isfinite(train(seconds=0.4, rate=1.2)).all()


class TestChannel:
    def test_noise_is_as_far_below_the_voice_as_the_device_says(self):
        voice = vowel(seconds=2)
        device = replace(DEVICES["headset"], tilt=0.0, low=20, high=8000, noise=30.0)
        levels = []
        for seed in range(12):
            heard = record(voice, device, (RATE, RATE), 0.5, RATE, rng(seed))
            levels.append(20 * np.log10(heard[RATE:-RATE].std() / heard[1000 : RATE - 500].std()))
        assert np.mean(levels) == pytest.approx(30.0, abs=2.5)

    def test_the_device_limits_the_band(self):
        noise = rng().standard_normal(2 * RATE)
        narrow, wide = (
            record(noise, DEVICES[name], (0, 0), 0.5, RATE, rng())
            for name in ("phone-c", "headset")
        )
        for heard in (narrow, wide):
            heard /= heard.std()
        assert band_level(wide, 5000, 7000) - band_level(narrow, 5000, 7000) > 15

    def test_level_and_length_are_the_requested_ones(self):
        heard = record(vowel(seconds=1), DEVICES["tablet"], (100, 300), 0.25, RATE, rng())
        assert heard.dtype == np.float32
        assert len(heard) == RATE + 400
        assert np.abs(heard).max() == pytest.approx(0.25)


class TestSpeechModel:
    def test_every_trait_has_a_unit_a_source_and_room(self):
        for name, trait in TRAITS.items():
            assert trait.unit, name
            assert set(trait.sources.split()) <= set(SOURCES), name
            assert trait.lowest <= min(trait.healthy, trait.severe), name
            assert max(trait.healthy, trait.severe) <= trait.highest, name

    @pytest.mark.parametrize("name", TRAITS)
    def test_severity_moves_each_trait_to_its_severe_value(self, name):
        trait = TRAITS[name]
        for position, typical in ((0.0, trait.healthy), (1.0, trait.severe)):
            drawn = [draw_speaker(position, 0.0, rng(s)).traits[name] for s in range(200)]
            assert np.mean(drawn) == pytest.approx(trait.to_scale(typical), abs=0.3 * trait.spread)
            assert np.std(drawn) > 0.7 * trait.spread

    def test_values_stay_within_their_limits(self):
        for seed in range(50):
            today = traits_today(draw_speaker(1.0, 1.0, rng(seed)), rng(seed))
            for name, value in today.items():
                assert TRAITS[name].lowest <= value <= TRAITS[name].highest

    def test_centralisation_raises_the_formant_centralisation_ratio(self):
        speaker = draw_speaker(0.0, 0.0, rng())

        def ratio(centralisation):  # Sapir et al. (2010)
            a, i, u = (vowel_formants(speaker, v, centralisation) for v in "AIU")
            return (u[1] + a[1] + i[0] + u[0]) / (i[1] + a[0])

        ratios = [ratio(c) for c in (0.0, 0.2, 0.4)]
        assert ratios == sorted(ratios)
        assert ratios[0] < 1.1 < ratios[2]

    def test_a_short_vocal_tract_raises_all_formants(self):
        speaker = draw_speaker(0.0, 0.0, rng())
        longer, shorter = (replace(speaker, tract=t) for t in (0.95, 1.05))
        expected = np.full(8, 1.05 / 0.95)
        assert_allclose(
            vowel_formants(shorter, "A", 0.1) / vowel_formants(longer, "A", 0.1), expected
        )
        traits = traits_today(speaker, rng())
        loci = [articulation_of(s, "T", traits).locus for s in (shorter, longer)]
        assert_allclose(loci[0] / loci[1], expected)

    @pytest.mark.parametrize(
        ("difficulty", "low", "high"),
        [("easy", 0.99, 1.0), ("medium", 0.95, 0.98), ("hard", 0.78, 0.83)],
    )
    def test_not_even_the_true_severity_separates_what_is_difficult(self, difficulty, low, high):
        classes = np.arange(20000) % 2
        deviates = rng().standard_normal(20000)
        severity = [
            latent_severity(c, DIFFICULTIES[difficulty], d)
            for c, d in zip(classes, deviates, strict=True)
        ]
        assert low <= roc_auc_score(classes, severity) <= high
        assert np.std(severity) == pytest.approx(0.5, abs=0.01)
