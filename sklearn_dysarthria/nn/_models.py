"""Whole networks, each a backbone and a head; and how to count what a network learns."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from sklearn_dysarthria.nn._backbone import Backbone
from sklearn_dysarthria.nn._backbones import build_backbone
from sklearn_dysarthria.nn._hyper import HyperLinear, build_head


class HyperAlexNetModule(nn.Module):
    """Image embedding and a classification layer whose weights a hypernetwork generates.

    ``backbone → Linear(backbone.out_features, embedding_dim) → HyperLinear``.

    Parameters
    ----------
    n_classes : int, default=2
        Number of logits, at least 1.
    embedding_dim : int, default=768
        Size of the embedding.
    head : {"hyper", "dense"}, default="hyper"
        ``"dense"`` is the ablation: an ordinary linear layer, which takes no context.
    context, context_dim, hidden_dim, n_hidden_layers, n_contexts
        See :class:`HyperLinear`; not used by ``head="dense"``.
    context_seed : int, default=0
        Seed of the fixed contexts.
    weights, freeze
        Of the backbone; see :func:`build_backbone` and :meth:`Backbone.freeze`.
    backbone : str, default="alexnet"
        See :func:`build_backbone`.
    depth, width, image_size
        See :func:`build_backbone`.

    Attributes
    ----------
    backbone : Backbone
        Images to features.
    embedding : torch.nn.Linear
        Features to embedding.
    head : HyperLinear or torch.nn.Linear
        Embedding to logits.

    Raises
    ------
    ValueError
        A parameter is not among its options.
    WeightsError
        The weights cannot be found or read, or do not fit tensor by tensor.

    Notes
    -----
    The paper leaves open how AlexNet is cut to an embedding of 768.  Replacing its last layer by
    a linear one of that size, and putting no activation between it and the head, is inferred: the
    hypernetwork then generates the layer that AlexNet's own classifier would have been.
    ``n_contexts`` is inferred too.

    References
    ----------
    arXiv:2503.01892.
    """

    def __init__(
        self,
        n_classes: int = 2,
        embedding_dim: int = 768,
        head: str = "hyper",
        context: str = "noise",
        context_dim: int = 128,
        hidden_dim: int = 512,
        n_hidden_layers: int = 1,
        n_contexts: int = 32,
        context_seed: int = 0,
        weights: Any = None,
        freeze: int | str | None = None,
        backbone: str = "alexnet",
        depth: int | None = None,
        width: float = 1.0,
        image_size: int | tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.backbone: Backbone = build_backbone(
            backbone,
            weights=weights,
            depth=depth,
            width=width,
            image_size=image_size,
        ).freeze(freeze)
        self.embedding = nn.Linear(self.backbone.out_features, embedding_dim)
        self.head = build_head(
            head,
            embedding_dim,
            n_classes,
            context_dim=context_dim,
            hidden_dim=hidden_dim,
            n_contexts=n_contexts,
            context=context,
            seed=context_seed,
            n_hidden_layers=n_hidden_layers,
        )

    def embed(self, X: Tensor | None = None, features: Tensor | None = None) -> Tensor:
        """Compute the embedding.

        Parameters
        ----------
        X : torch.Tensor of shape (n_samples, 3, height, width)
            Images.
        features : torch.Tensor of shape (n_samples, backbone.out_features), optional
            In their place: what the backbone makes of them.

        Returns
        -------
        torch.Tensor of shape (n_samples, embedding_dim)
            Input of the head.
        """
        return self.embedding(_embedded(self.backbone, X, features))

    def forward(
        self,
        X: Tensor | None = None,
        context: Tensor | None = None,
        features: Tensor | None = None,
    ) -> Tensor:
        """Compute logits.

        Parameters
        ----------
        X : torch.Tensor of shape (n_samples, 3, height, width)
            Images.
        context : torch.Tensor of shape (n_samples, context_dim), optional
            Required with ``context="data"``, and an error otherwise.
        features : torch.Tensor of shape (n_samples, backbone.out_features), optional
            In place of the images: what the backbone makes of them.

        Returns
        -------
        torch.Tensor of shape (n_samples, n_classes)
            See :meth:`HyperLinear.forward`.

        Raises
        ------
        ValueError
            The shapes do not fit, or a context is given to a head that takes none.
        """
        if isinstance(self.head, HyperLinear):
            return self.head(self.embed(X, features), context)
        if context is not None:
            raise ValueError("head='dense' takes no context.")
        return self.head(self.embed(X, features))

    def logits_per_context(self, X: Tensor) -> Tensor:
        """Compute the logits under each of the fixed contexts.

        Parameters
        ----------
        X : torch.Tensor of shape (n_samples, 3, height, width)
            Images.

        Returns
        -------
        torch.Tensor of shape (n_contexts, n_samples, n_classes)
            See :meth:`HyperLinear.logits_per_context`.

        Raises
        ------
        ValueError
            With ``head="dense"`` or ``context="data"``, which have no fixed contexts.
        """
        if not isinstance(self.head, HyperLinear):
            raise ValueError("head='dense' has no contexts.")
        return self.head.logits_per_context(self.embed(X))


class BackboneModule(nn.Module):
    """Backbone, dropout, and a linear layer for this task's classes.

    Parameters
    ----------
    n_classes : int
        Number of logits, at least 1.
    backbone : str, default="vit_b_16"
        See :func:`build_backbone`.
    weights, freeze
        Of the backbone; see :func:`build_backbone` and :meth:`Backbone.freeze`.
    depth, width, image_size
        See :func:`build_backbone`.
    stochastic_depth : float, optional
        Probability with which the last block is skipped for a sample in training; None is the
        architecture's own.
    dropout : float, default=0.0
        Share of the embedding that is zeroed in training.

    Attributes
    ----------
    backbone : Backbone
        Images to features.
    dropout : torch.nn.Dropout
        Between them.
    head : torch.nn.Linear
        Features to logits.

    Raises
    ------
    ValueError
        A parameter is not among its options.
    WeightsError
        The weights cannot be found or read, or do not fit tensor by tensor.
    ImportError
        The backbone is one of timm, which is not installed.
    """

    def __init__(
        self,
        n_classes: int,
        backbone: str = "vit_b_16",
        weights: Any = None,
        freeze: int | str | None = None,
        depth: int | None = None,
        width: float = 1.0,
        image_size: int | tuple[int, int] | None = None,
        stochastic_depth: float | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.backbone: Backbone = build_backbone(
            backbone,
            weights=weights,
            stochastic_depth_prob=stochastic_depth,
            depth=depth,
            width=width,
            image_size=image_size,
        ).freeze(freeze)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.backbone.out_features, n_classes)

    def embed(self, X: Tensor | None = None, features: Tensor | None = None) -> Tensor:
        """Compute the embedding.

        Parameters
        ----------
        X : torch.Tensor of shape (n_samples, 3, height, width)
            Images.
        features : torch.Tensor of shape (n_samples, backbone.out_features), optional
            In their place: what the backbone makes of them.

        Returns
        -------
        torch.Tensor of shape (n_samples, backbone.out_features)
            Output of the backbone.
        """
        return _embedded(self.backbone, X, features)

    def forward(self, X: Tensor | None = None, features: Tensor | None = None) -> Tensor:
        """Compute logits.

        Parameters
        ----------
        X : torch.Tensor of shape (n_samples, 3, height, width)
            Images.
        features : torch.Tensor of shape (n_samples, backbone.out_features), optional
            In their place: what the backbone makes of them.

        Returns
        -------
        torch.Tensor of shape (n_samples, n_classes)
            Logits.
        """
        return self.head(self.dropout(self.embed(X, features)))


class ConvNeXtModule(BackboneModule):
    """ConvNeXt with a linear layer for this task's classes, which starts as torchvision's does.

    Parameters
    ----------
    n_classes : int
        Number of logits, at least 1.
    variant : {"femto", "tiny", "small", "base", "large"}, default="base"
        See :func:`build_backbone`.
    stochastic_depth : float, default=0.1
        Probability with which the last block is skipped for a sample in training.
    weights, freeze
        Of the backbone; see :func:`build_backbone` and :meth:`Backbone.freeze`.
    depth, width
        See :func:`build_backbone`.

    Attributes
    ----------
    backbone : Backbone
        Images to features.
    head : torch.nn.Linear
        Features to logits.

    Raises
    ------
    ValueError
        A parameter is not among its options.
    WeightsError
        The weights cannot be found or read, or do not fit tensor by tensor.

    References
    ----------
    Liu et al., "A ConvNet for the 2020s", arXiv:2201.03545.
    """

    def __init__(
        self,
        n_classes: int,
        variant: str = "base",
        stochastic_depth: float = 0.1,
        weights: Any = None,
        freeze: int | str | None = None,
        depth: int | None = None,
        width: float = 1.0,
    ) -> None:
        super().__init__(
            n_classes,
            f"convnext_{variant}",
            weights=weights,
            freeze=freeze,
            depth=depth,
            width=width,
            stochastic_depth=stochastic_depth,
        )
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)


def _embedded(backbone: Backbone, images: Tensor | None, features: Tensor | None) -> Tensor:
    if (images is None) == (features is None):
        raise ValueError("Give either images, or the backbone's features of them.")
    return features if images is None else backbone(images)  # type: ignore[return-value]


def count_parameters(module: nn.Module, trainable_only: bool = False) -> int:
    """Count the numbers that a network learns.

    Parameters
    ----------
    module : torch.nn.Module
        A network, or a part of one such as its ``head``; shared parameters count once, and
        buffers do not.
    trainable_only : bool, default=False
        Leave out what is frozen.

    Returns
    -------
    int
        Number of scalars.

    Examples
    --------
    >>> from sklearn_dysarthria.nn import HyperLinear, count_parameters
    >>> count_parameters(HyperLinear(768, 2, context_dim=32, hidden_dim=512))
    805890
    """
    return sum(
        parameter.numel()
        for parameter in module.parameters()
        if parameter.requires_grad or not trainable_only
    )
