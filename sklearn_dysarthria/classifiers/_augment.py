"""Augmentation of images, as a parameter object."""

from __future__ import annotations

from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

from sklearn.utils._param_validation import Interval

from sklearn_dysarthria.classifiers._parameter_objects import ParameterObject

if TYPE_CHECKING:
    from sklearn_dysarthria.nn import Augmentation, BatchMixing

_PROBABILITY = [Interval(Real, 0, 1, closed="both")]


class Augment(ParameterObject):
    """How training images are changed, and how many changed views are averaged at prediction.

    Parameter object of the classifiers of images, ``augment=Augment(spec=0.7, rotation=10)``.
    ``augment="spec"`` is ``Augment(spec=0.7)``, the probability of the SAND challenge's ConvNeXt
    entry.  By default nothing is changed.

    Parameters
    ----------
    spec : float, default=0.0
        Probability with which a training image is masked in time and frequency (SpecAugment).
        Masks hold the channel's mean, a steady energy of middle level: what was there is hidden,
        but it is not silence.
    spec_width : float, default=0.125
        Largest width of a mask of `spec`, as a share of the image's height and width (inferred).
    spec_masks : int, default=2
        Masks in time, and as many in frequency, of an image that `spec` masks.
    horizontal_flip : float, default=0.0
        Probability with which a training image runs backwards in time.  Reversed speech is no
        speech: attack and decay change places, and Δ keeps a sign that is then wrong.
    vertical_flip : float, default=0.0
        Probability with which a training image is turned upside down, which puts low formants on
        top: no sound looks like that.
    rotation : float, default=0.0
        Largest angle, in degrees, by which training images are rotated.  That mixes time with
        frequency: a steady pitch becomes a glide.
    color_jitter : float or (float, float, float), default=0.0
        Largest relative change of brightness, contrast and saturation of training images, one
        number for all or one for each.  Brightness and contrast stretch the dynamic range, from
        the quietest pixel or about the mean, and cut off beyond the image's own extremes.
        Neither is a gain, which adds a constant to decibels and vanishes from images relative to
        their maximum.  Saturation mixes the static channel with Δ and ΔΔ.
    translation : float, default=0.0
        Largest shift of a training image, as a share of its height and width.  Along time that
        is another onset, which is harmless; along frequency nearly another vocal tract and
        pitch, but not quite, since a mel is not the same ratio of frequencies everywhere.
    mixup : float, default=0.0
        α of the Beta distribution with which pairs of training images are added up; 0 is off.  A
        mean of decibels is not the sound of two voices.
    cutmix : float, default=0.0
        α of the Beta distribution of what is left of a training image when a rectangle of another
        is pasted in; 0 is off.  With `mixup` too, each batch draws one of them.  The result is
        two voices in one recording, cut at edges that neither has.
    n_views : int, default=1
        Views averaged at prediction: the image itself and ``n_views - 1`` images augmented as in
        training, without `mixup` and `cutmix`.  A view changes every image in the same way, and
        is drawn so that it is a change: flips of small probability are drawn again until one
        flips, and `spec` always masks.

    See Also
    --------
    sklearn_dysarthria.nn.SpecAugment : Masks.
    sklearn_dysarthria.nn.ImageAugment : Flips, rotation, jitter, shifts.
    sklearn_dysarthria.nn.BatchMixing : Mixup and CutMix.

    Examples
    --------
    >>> from sklearn_dysarthria import Augment
    >>> Augment(spec=0.7, rotation=10)
    Augment(rotation=10, spec=0.7)
    """

    kind = "an Augment"
    is_optional = True

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "spec": _PROBABILITY,
        "spec_width": [Interval(Real, 0, 1, closed="right")],
        "spec_masks": [Interval(Integral, 1, None, closed="left")],
        "horizontal_flip": _PROBABILITY,
        "vertical_flip": _PROBABILITY,
        "rotation": [Interval(Real, 0, 180, closed="both")],
        "color_jitter": [Interval(Real, 0, 1, closed="both"), tuple, list],
        "translation": [Interval(Real, 0, 1, closed="both")],
        "mixup": [Interval(Real, 0, None, closed="left")],
        "cutmix": [Interval(Real, 0, None, closed="left")],
        "n_views": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        *,
        spec=0.0,
        spec_width=0.125,
        spec_masks=2,
        horizontal_flip=0.0,
        vertical_flip=0.0,
        rotation=0.0,
        color_jitter=0.0,
        translation=0.0,
        mixup=0.0,
        cutmix=0.0,
        n_views=1,
    ):
        self.spec = spec
        self.spec_width = spec_width
        self.spec_masks = spec_masks
        self.horizontal_flip = horizontal_flip
        self.vertical_flip = vertical_flip
        self.rotation = rotation
        self.color_jitter = color_jitter
        self.translation = translation
        self.mixup = mixup
        self.cutmix = cutmix
        self.n_views = n_views

    def of_images(self) -> Augmentation | None:
        """Return the changes of single images, of training batches and of views at prediction.

        Returns
        -------
        sklearn_dysarthria.nn.AugmentChain or None
            None if nothing changes.
        """
        from sklearn_dysarthria.nn import AugmentChain, ImageAugment, SpecAugment

        augmentations: list[Augmentation] = []
        image_augment = ImageAugment(
            self.horizontal_flip,
            self.vertical_flip,
            self.rotation,
            self.color_jitter,
            self.translation,
        )
        if not image_augment.is_off:
            augmentations.append(image_augment)
        if self.spec:  # last, so that no mask is turned or moved
            augmentations.append(
                SpecAugment(
                    self.spec, self.spec_width, self.spec_width, self.spec_masks, self.spec_masks
                )
            )
        return AugmentChain(*augmentations) if augmentations else None

    def of_batches(self) -> BatchMixing | None:
        """Return what mixes the images of a training batch.

        Returns
        -------
        sklearn_dysarthria.nn.BatchMixing or None
            None if nothing is mixed.
        """
        from sklearn_dysarthria.nn import BatchMixing

        return BatchMixing(self.mixup, self.cutmix) if self.mixup or self.cutmix else None

    def _check_views(self, augmentation: Augmentation | None) -> None:
        """Raise ValueError for views of images that the augmentation does not change."""
        if self.n_views > 1 and augmentation is None:
            raise ValueError(
                f"n_views={self.n_views} averages over augmented views, and no augmentation of "
                "images is on: switch on one of those of augment, or set n_views=1."
            )


Augment.named = {"spec": partial(Augment, spec=0.7)}
