"""
=====================================================
Compare the published systems with the usual baseline
=====================================================

A new model for recognising dysarthria has to answer two questions before anything else.  Is it
better than eGeMAPS and a support vector machine on the *same* patients?  And was any patient in
both training and test?  :func:`~sklearn_dysarthria.compare` answers both: it cross-validates
every model on the same folds of patients, puts a patient-bootstrap interval beside every figure,
and adds two rows that a useful model has to beat.

This page calls it as a function.  ``sklearn-dysarthria compare`` does the same from the command
line (see :doc:`/command_line`).
"""

# %%
# Recordings
# ----------
#
# Each synthetic speaker sustains a vowel and repeats a syllable.  One row is one recording;
# ``patient`` says whose it is, ``task`` what was spoken.  Half of the speakers are healthy
# (label 0), half are dysarthric (label 1), and the two groups overlap.

import tempfile

import matplotlib.pyplot as plt

from sklearn_dysarthria import compare, make_dysarthric_speech
from sklearn_dysarthria.report import METHODS, build_methods

N_PATIENTS = 24

X, y = make_dysarthric_speech(n_patients=N_PATIENTS, difficulty="medium", random_state=0)
X[["patient", "task", "sample_rate", "sex", "age", "device"]].head()

# %%
# Models
# ------
#
# :func:`~sklearn_dysarthria.compare` knows four methods by name:

print(METHODS)

# %%
# The first two are the baseline, once with a vote over a patient's recordings and once with the
# features of all tasks side by side.  ``hyper-alexnet`` is AlexNet with a head that a
# hypernetwork generates, ``sand-convnext`` the ConvNeXt entry to the SAND challenge.
#
# ``preset="paper"`` builds the networks as published, with pretrained weights and for a GPU.
# ``preset="quick"`` builds the same systems at a size for two processor cores: images of 64 × 64
# and random initial weights.  This page has to be built in seconds, so it goes further down and
# trains for very few epochs; **the networks below are hardly trained, and their rows show what
# the table looks like, not what the methods can do**.  Every one of these numbers is an ordinary
# scikit-learn parameter:

HYPER_ALEXNET_EPOCHS = 3
CONVNEXT_EPOCHS = 12

cache = tempfile.TemporaryDirectory()
methods = build_methods(METHODS, X, preset="quick", cache=cache.name, random_state=0)
methods["hyper-alexnet"].set_params(estimator__classify__max_epochs=HYPER_ALEXNET_EPOCHS)
methods["sand-convnext"].set_params(estimator__classify__max_epochs=CONVNEXT_EPOCHS)
print({name: type(model).__name__ for name, model in methods.items()})

# %%
# A model of one's own goes into the same dictionary.  All it has to do is to decide per patient,
# which :class:`~sklearn_dysarthria.PatientVotingClassifier` does for any recording-level model.
#
# The comparison
# --------------
#
# Three folds keep this page quick; use five or more, and repeat them, where the answer matters.

result = compare(X, y, methods=methods, n_splits=3, n_resamples=500, random_state=0)
result.table.rename_axis(None)

# %%
# Each cell is the figure over patients and its 95 % interval.  Read the intervals first: with so
# few patients they are wide, and two methods whose intervals overlap this much have not been told
# apart.  ``majority class`` always answers with the class that most training patients have.
# ``chance`` is the mean of random guessers who know the class proportions, and the range in which
# 95 % of them end up; a method inside that range has shown nothing yet.
#
# How the numbers came about is part of the result, so that a table cannot be torn from it:

for name, value in result.settings.items():
    print(f"{name}: {value}")

# %%
# Confusion matrices
# ------------------
#
# ``result.predictions`` holds every out-of-fold decision, one row per method and patient:

result.predictions.head()

# %%
# From it, any figure can be drawn, counting patients rather than recordings.

result.plot_confusion_matrices(plt.figure())

# %%
# ROC curves
# ----------
#
# The scores of two folds come from two models and are not on one scale.  Curves, like the AUC in
# the table, are therefore made within test folds; here they are averaged over the folds.

result.plot_roc(plt.figure())

# %%
# ``result.save("comparison")`` writes the table as Markdown, both tables as CSV and these figures
# to a folder.

cache.cleanup()
