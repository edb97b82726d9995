"""What the classifiers' common parameters mean, said once and put into each docstring."""

from __future__ import annotations

import inspect
import re
from textwrap import indent
from typing import TypeVar

SHARED_PARAMETERS: dict[str, tuple[str, str]] = {
    "weights": (
        "str, path or None",
        "Of the backbone: a published name (downloaded on first use), a local state dict, or\n"
        "None for random ones.  Every tensor must match by name and shape.",
    ),
    "freeze": (
        'int, "all" or None',
        "Number of leading backbone stages that keep their weights (of AlexNet five\n"
        "convolutional, two linear), or all of them.  With all, and unless training images are\n"
        "augmented or mixed, the backbone is applied once per image of a fit instead of once per\n"
        "epoch, with the same result; batches that callbacks are shown then hold ``features``\n"
        "instead of ``X``, and a callback that changes the backbone is an error.",
    ),
    "loss": (
        '{"cross_entropy", "focal", "coral", "corn", "cumulative_link"}',
        "The last three are ordinal: they take the classes as ordered by their labels, which\n"
        "must be numbers, and `predict` answers the median class, the number of steps between\n"
        "neighbouring classes that are passed with a probability above a half.  CORAL and the\n"
        "cumulative link (proportional odds) learn one score and thresholds, CORN one logit per\n"
        "step.",
    ),
    "gamma": (
        "float",
        'Focusing parameter of ``loss="focal"``; the probability in its modulating factor does\n'
        "not include the class weights.",
    ),
    "label_smoothing": (
        "float",
        "Probability taken from a sample's own class and shared out over all of them; for\n"
        '``"cross_entropy"`` and ``"focal"``.',
    ),
    "class_weight": (
        '{"balanced", "effective_number", "inverse_sqrt"}, dict or None',
        "Weight of a sample's class in the loss, from the rows as trained on, that is after\n"
        "oversampling: inverse to their number, to their effective number, or to the square root\n"
        "of their number, with a mean over the rows of 1; or a weight for each label.",
    ),
    "class_weight_beta": (
        "float",
        'Of ``class_weight="effective_number"``: (1 - β) / (1 - β**n) for n rows; 0 is no\n'
        "weighting, and towards 1 it becomes the balanced one.",
    ),
    "oversample": (
        "dict of label to int",
        "How many times the rows of a label occur in an epoch; costs no memory.",
    ),
    "spec_augment": (
        "float",
        "Probability with which a training image is masked in time and frequency.  Masks hold the\n"
        "channel's mean, a steady energy of middle level: what was there is hidden, but it is not\n"
        "silence.",
    ),
    "spec_augment_width": (
        "float",
        "Largest width of a mask of `spec_augment`, as a share of the image's height and width\n"
        "(inferred).",
    ),
    "spec_augment_masks": (
        "int",
        "Masks in time, and as many in frequency, of an image that `spec_augment` masks.",
    ),
    "horizontal_flip": (
        "float",
        "Probability with which a training image runs backwards in time.  Reversed speech is no\n"
        "speech: attack and decay change places, and Δ keeps a sign that is then wrong.",
    ),
    "vertical_flip": (
        "float",
        "Probability with which a training image is turned upside down, which puts low formants\n"
        "on top: no sound looks like that.",
    ),
    "rotation": (
        "float",
        "Largest angle, in degrees, by which training images are rotated.  That mixes time with\n"
        "frequency: a steady pitch becomes a glide.",
    ),
    "color_jitter": (
        "float or (float, float, float)",
        "Largest relative change of brightness, contrast and saturation of training images, one\n"
        "number for all or one for each.  Brightness and contrast stretch the dynamic range, from\n"
        "the quietest pixel or about the mean, and cut off beyond the image's own extremes.\n"
        "Neither is a gain, which adds a constant to decibels and vanishes from images relative\n"
        "to their maximum.  Saturation mixes the static channel with Δ and ΔΔ.",
    ),
    "translation": (
        "float",
        "Largest shift of a training image, as a share of its height and width.  Along time that\n"
        "is another onset, which is harmless; along frequency nearly another vocal tract and\n"
        "pitch, but not quite, since a mel is not the same ratio of frequencies everywhere.",
    ),
    "mixup": (
        "float",
        "α of the Beta distribution with which pairs of training images are added up; 0 is off.\n"
        "A mean of decibels is not the sound of two voices.",
    ),
    "cutmix": (
        "float",
        "α of the Beta distribution of what is left of a training image when a rectangle of\n"
        "another is pasted in; 0 is off.  With `mixup` too, each batch draws one of them.  The\n"
        "result is two voices in one recording, cut at edges that neither has.",
    ),
    "n_tta": (
        "int",
        "Views averaged at prediction: the image itself and ``n_tta - 1`` images augmented as in\n"
        "training, without `mixup` and `cutmix`.  A view changes every image in the same way, and\n"
        "is drawn so that it is a change: flips of small probability are drawn again until one\n"
        "flips, and `spec_augment` always masks.",
    ),
    "n_hidden_layers": ("int", "Hidden layers of the hypernetwork."),
    "optimizer": ('{"adam", "adamw", "sgd", "rmsprop"}', "Optimiser."),
    "lr": ("float", "Learning rate, the upper limit of `lr_schedule`."),
    "momentum": ("float", 'Of ``optimizer="sgd"``.'),
    "weight_decay": ("float", "As torch's optimisers define it."),
    "lr_schedule": (
        '{"cosine", "linear", "step", "exponential", "one_cycle", "plateau"} or None',
        "How the rate changes from epoch to epoch over `max_epochs`: it falls to 0 along a cosine\n"
        "or a line, to a tenth after each third, by a constant factor to a hundredth in all,\n"
        "rises from 1/25 and falls to nearly 0 (torch's one cycle, read once an epoch: its peak,\n"
        "`lr`, may lie between two epochs), or falls to a tenth when the loss on the inner\n"
        "validation patients has not fallen for more than half of `patience`, which needs\n"
        "`early_stopping`.",
    ),
    "warmup_epochs": (
        "int",
        "Epochs in which the rate rises in equal steps before `lr_schedule` begins.",
    ),
    "max_epochs": ("int", "Passes over the training data."),
    "batch_size": (
        "int",
        "Samples per step.  A network with batch normalisation cannot learn from a single sample:\n"
        "where the last batch of an epoch would be one, the next larger size that leaves none is\n"
        "taken.",
    ),
    "early_stopping": (
        "bool",
        "Hold out `validation_fraction` of the training patients, stop when their loss has not\n"
        "fallen for `patience` epochs, and keep the best weights.  Needs `groups`.",
    ),
    "validation_fraction": (
        "float",
        "Fraction of each class's patients held out by `early_stopping`.",
    ),
    "patience": ("int", "Epochs without progress before `early_stopping` stops."),
    "callbacks": (
        "list of skorch callbacks",
        "Added to the training loop; copied, never modified.",
    ),
    "device": ("str", 'Torch device; ``"auto"`` takes the GPU where there is one.'),
    "mixed_precision": (
        'bool or "auto"',
        'Compute in bfloat16 where possible; ``"auto"`` does so on GPUs that support it.',
    ),
    "cache": (
        "str, path, RecordingCache, joblib.Memory or None",
        "Folder that keeps what a wholly frozen backbone makes of an image, for other fits, grid\n"
        "points, folds and processes with the same images and the same weights; see `freeze`.\n"
        "Without it, every fit computes that anew.",
    ),
    "random_state": (
        "int, RandomState or None",
        "An int makes two fits on the CPU bitwise equal.",
    ),
    "verbose": ("int", "1 shows a progress bar over epochs."),
}
"""Type and meaning of each; the default is the signature's."""

Class = TypeVar("Class", bound=type)


def document_shared_parameters(cls: Class) -> Class:
    """Complete the ``Parameters`` section of a class's docstring.

    Parameters
    ----------
    cls : type
        Its docstring describes the parameters of its own, and any shared one of which it has
        something else to say.

    Returns
    -------
    type
        The class; its docstring describes every parameter of ``__init__``, in that order.
    """
    if cls.__doc__ is None:  # python -OO
        return cls
    text = inspect.cleandoc(cls.__doc__)
    before, rest = text.split("Parameters\n----------\n", 1)
    own, attributes, after = rest.partition("Attributes\n----------\n")
    described = dict(re.findall(r"^(\w+)( : .*\n(?:(?: .*)?\n)*)", own, flags=re.MULTILINE))
    paragraphs = []
    for name, parameter in inspect.signature(cls).parameters.items():
        body = described.get(name) or _shared(name, parameter.default)
        paragraphs.append(f"{name}{body.rstrip()}\n")
    section = "".join(paragraphs)
    cls.__doc__ = f"{before}Parameters\n----------\n{section}\n{attributes}{after}\n"
    return cls


def _shared(name: str, default: object) -> str:
    kind, meaning = SHARED_PARAMETERS[name]
    if default is None and "None" not in kind:
        shown = "optional"
    elif isinstance(default, str):
        shown = f'default="{default}"'
    else:
        shown = f"default={default}"
    return f" : {kind}, {shown}\n{indent(meaning, '    ')}\n"
