"""What the classifiers' common parameters and attributes mean, written once for each docstring."""

from __future__ import annotations

import inspect
import re
from textwrap import indent
from typing import TypeVar

SHARED_PARAMETERS: dict[str, tuple[str, str]] = {
    "backbone": (
        "str or Backbone",
        "Name of the network that turns images into features, any of\n"
        ':func:`sklearn_dysarthria.nn.list_backbones` or ``"timm/<architecture>"`` if timm is\n'
        "installed; a :class:`~sklearn_dysarthria.Backbone` says where its weights come from, how\n"
        "many stages are frozen, and how deep and wide it is.",
    ),
    "head": (
        '{"hyper", "dense"} or HyperHead',
        'The last layer: ``"hyper"`` is :class:`~sklearn_dysarthria.HyperHead` with its defaults,\n'
        '``"dense"`` the ablation with an ordinary linear layer.',
    ),
    "loss": (
        '{"cross_entropy", "focal", "coral", "corn", "cumulative_link"} or loss',
        "A name, or one of :class:`~sklearn_dysarthria.CrossEntropy` and\n"
        ":class:`~sklearn_dysarthria.FocalLoss`, which have parameters.  The last three names are\n"
        "ordinal losses: they take the classes as ordered by their labels, which must be numbers,\n"
        "and `predict` answers the median class, the number of steps between neighbouring classes\n"
        "that are passed with a probability above a half.  CORAL and the cumulative link\n"
        "(proportional odds) learn one score and thresholds, CORN one logit per step.",
    ),
    "class_weight": (
        '{"balanced", "effective_number", "inverse_sqrt"}, EffectiveNumber, dict or None',
        "Weight of a sample's class in the loss, from the rows as trained on, that is after\n"
        "oversampling: inverse to their number, to their effective number\n"
        "(:class:`~sklearn_dysarthria.EffectiveNumber`), or to the square root of their number,\n"
        "with a mean over the rows of 1; or a weight for each label.",
    ),
    "oversample": (
        "dict of label to int",
        "How many times the rows of a label occur in an epoch; costs no memory.",
    ),
    "augment": (
        '"spec", Augment or None',
        "How training images are changed, and how many views are averaged at prediction:\n"
        ':class:`~sklearn_dysarthria.Augment`; ``"spec"`` is ``Augment(spec=0.7)``.',
    ),
    "optimizer": (
        '{"adam", "adamw", "sgd", "rmsprop"} or optimiser',
        "A name, or an object with parameters such as :class:`~sklearn_dysarthria.SGD`.",
    ),
    "lr": ("float", "Learning rate, the upper limit of `lr_schedule`."),
    "weight_decay": ("float", "As torch's optimisers define it."),
    "lr_schedule": (
        '{"cosine", "linear", "step", "exponential", "one_cycle", "plateau"}, Schedule or None',
        "How the rate changes from epoch to epoch; a :class:`~sklearn_dysarthria.Schedule` can\n"
        "begin with a warm-up.",
    ),
    "early_stopping": (
        '"valid_loss", EarlyStopping or None',
        "Hold out some of the training patients and stop when their loss no longer falls, see\n"
        ':class:`~sklearn_dysarthria.EarlyStopping`; ``"valid_loss"`` is one with its defaults.\n'
        "Needs `groups`.",
    ),
    "max_epochs": ("int", "Passes over the training data."),
    "batch_size": (
        "int",
        "Samples per step.  A network with batch normalisation cannot learn from a single sample:\n"
        "where the last batch of an epoch would be one, the next larger size that leaves none is\n"
        "taken.",
    ),
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
        "points, folds and processes with the same images and the same weights; see\n"
        ":class:`~sklearn_dysarthria.Backbone`.  Without it, every fit computes that anew.",
    ),
    "random_state": (
        "int, RandomState or None",
        "An int makes two fits on the CPU bitwise equal.",
    ),
    "verbose": ("int", "1 shows a progress bar over epochs."),
}
"""Type and meaning of each; the default is the signature's."""

SHARED_ATTRIBUTES: dict[str, tuple[str, str]] = {
    "classes_": ("ndarray of shape (n_classes,)", "Labels in order."),
    "net_": ("skorch.NeuralNetClassifier", "The trained net."),
    "history_": (
        "pandas.DataFrame",
        "Losses, accuracy on the inner validation patients, learning rate and seconds, by epoch.",
    ),
    "n_iter_": ("int", "Epochs trained."),
    "n_parameters_": ("int", "Number of weights of the network."),
    "n_head_parameters_": (
        "int",
        "Of these, those of the head (the last layer, or the hypernetwork that generates it), and\n"
        "the thresholds of an ordinal loss.",
    ),
    "image_shape_": ("tuple of int", "Channels, height and width of the images."),
    "validation_patients_": ("ndarray", "Patients held out by `early_stopping`."),
}
"""Type and meaning of each."""

Class = TypeVar("Class", bound=type)


def document_shared_parameters(cls: Class) -> Class:
    """Complete the sections ``Parameters`` and ``Attributes`` of a class's docstring.

    It describes its own parameters, and any shared one that means something else here; the others
    are put between them, in the order of ``__init__``.  Among the attributes, a line that is but
    names, ``classes_, net_``, stands for the descriptions of these shared ones.
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
    names_alone = re.compile(r"^\w+_(?:, \w+_)*$", flags=re.MULTILINE)
    after = names_alone.sub(_shared_attributes, after)
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


def _shared_attributes(names: re.Match[str]) -> str:
    described = {name: SHARED_ATTRIBUTES[name] for name in names[0].split(", ")}
    return "\n".join(
        f"{name} : {kind}\n{indent(meaning, '    ')}" for name, (kind, meaning) in described.items()
    )
