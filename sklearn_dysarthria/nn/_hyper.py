"""A linear layer whose weights another network generates.

Source: arXiv:2503.01892, where a context C ~ N(0, I) of 128 values passes through a hidden layer
of 512 and becomes the 768 × 2 weights of the classification layer.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

CONTEXTS = ("noise", "data")
HEADS = ("hyper", "dense")


class HyperLinear(nn.Module):
    """Linear layer whose weights and bias a hypernetwork generates from a context.

    The hypernetwork is ``context → Linear(context_dim, hidden_dim) → ReLU →
    Linear(hidden_dim, out_features · in_features + out_features)``, with further
    ``Linear(hidden_dim, hidden_dim) → ReLU`` in between if ``n_hidden_layers`` asks for them.

    Parameters
    ----------
    in_features, out_features : int
        Size of the embedding and number of logits.
    context_dim : int, default=128
        Number of values in a context.
    hidden_dim : int, default=512
        Width of every hidden layer.
    n_contexts : int, default=1
        Fixed contexts over which the logits are averaged in evaluation mode; used with
        ``context="noise"`` only.
    context : {"noise", "data"}, default="noise"
        ``"noise"``: in training mode every batch draws one fresh C ~ N(0, I) from torch's global
        generator; in evaluation mode the contexts are fixed.  ``"data"``: the caller gives one
        context per row, in both modes.
    seed : int, default=0
        Of the fixed contexts, which have a generator of their own.
    n_hidden_layers : int, default=1
        Hidden layers of the hypernetwork; the paper has one.

    Attributes
    ----------
    contexts : torch.Tensor of shape (n_contexts, context_dim) or None
        The fixed contexts, part of the state dict; None with ``context="data"``.

    Notes
    -----
    The paper does not say how C is drawn when predicting; fixed draws, so that a prediction can
    be repeated, are inferred.

    References
    ----------
    arXiv:2503.01892.
    """

    contexts: Tensor | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        context_dim: int = 128,
        hidden_dim: int = 512,
        n_contexts: int = 1,
        context: str = "noise",
        seed: int = 0,
        n_hidden_layers: int = 1,
    ) -> None:
        super().__init__()
        if context not in CONTEXTS:
            raise ValueError(f"context must be one of {CONTEXTS}, got {context!r}.")
        sizes = {
            "in_features": in_features,
            "out_features": out_features,
            "context_dim": context_dim,
            "hidden_dim": hidden_dim,
            "n_contexts": n_contexts,
            "n_hidden_layers": n_hidden_layers,
        }
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size!r}.")
        self.in_features = in_features
        self.out_features = out_features
        self.context_dim = context_dim
        self.hidden_dim = hidden_dim
        self.n_contexts = n_contexts
        self.context = context
        self.seed = seed
        self.n_hidden_layers = n_hidden_layers
        self.hidden = nn.Linear(context_dim, hidden_dim)
        self.further_hidden = nn.ModuleList(
            nn.Linear(hidden_dim, hidden_dim) for _ in range(n_hidden_layers - 1)
        )
        self.generated = nn.Linear(hidden_dim, out_features * in_features + out_features)
        fixed = None
        if context == "noise":
            generator = torch.Generator().manual_seed(seed)
            # Drawn in float32 whatever the default type is: the same seed, the same contexts.
            draws = torch.randn(n_contexts, context_dim, generator=generator, dtype=torch.float32)
            fixed = draws.to(self.hidden.weight.dtype)
        self.register_buffer("contexts", fixed)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start so that generated weights have the variance of a fresh :class:`torch.nn.Linear`.

        That variance is 1 / (3 · in_features), of U(±1/√in_features), for weights and bias alike.
        """
        # With C ~ N(0, I), entries of the first layer of variance 1/context_dim and no bias, a
        # hidden unit is z with E[z²] = 1 before the ReLU.  Weights are symmetric about 0, so that
        # z is too, and E[ReLU(z)²] = E[z²]/2.  A unit of a further layer sums hidden_dim such
        # terms times weights of variance v: E[z²] = hidden_dim · v / 2, which stays 1 through any
        # number of layers when v = 2 / hidden_dim.  An output sums them times weights of variance
        # s² and has variance hidden_dim · s² / 2; this equals 1 / (3 · in_features) when
        # s² = 2 / (3 · in_features · hidden_dim).
        nn.init.normal_(self.hidden.weight, std=1 / math.sqrt(self.context_dim))
        nn.init.zeros_(self.hidden.bias)
        for layer in self._further_layers():
            nn.init.normal_(layer.weight, std=math.sqrt(2 / self.hidden_dim))
            nn.init.zeros_(layer.bias)
        std = math.sqrt(2 / (3 * self.in_features * self.hidden_dim))
        nn.init.normal_(self.generated.weight, std=std)
        nn.init.zeros_(self.generated.bias)

    def generate(self, contexts: Tensor) -> tuple[Tensor, Tensor]:
        """Generate the weights and biases of linear layers.

        Parameters
        ----------
        contexts : torch.Tensor of shape (..., context_dim)
            One context per layer.

        Returns
        -------
        weight : torch.Tensor of shape (..., out_features, in_features)
            Generated weights.
        bias : torch.Tensor of shape (..., out_features)
            Generated biases.
        """
        return self._split(self.generated(self._activations(contexts)))

    def forward(self, embedding: Tensor, context: Tensor | None = None) -> Tensor:
        """Compute logits.

        Parameters
        ----------
        embedding : torch.Tensor of shape (n_samples, in_features)
            What the generated layer is applied to.
        context : torch.Tensor of shape (n_samples, context_dim), optional
            One context per row; required with ``context="data"``, and an error otherwise.

        Returns
        -------
        torch.Tensor of shape (n_samples, out_features)
            The logits; with fixed contexts, their mean over the contexts.

        Raises
        ------
        ValueError
            ``context`` is missing, has another shape, or is given to a layer that draws its own.
        """
        if self.context == "data":
            weight, bias = self.generate(self._checked(context, len(embedding)))
            return torch.einsum("boi,bi->bo", weight, embedding) + bias
        if context is not None:
            raise ValueError(
                "context='noise' draws its own contexts; give context='data' to use X's."
            )
        if self.training:
            # One draw per batch, not per row: the batch trains one generated layer.
            reference = self.hidden.weight
            drawn = torch.randn(self.context_dim, device=reference.device, dtype=reference.dtype)
            weight, bias = self.generate(drawn)
        else:
            # The logits are linear in the generated weights, and these are affine in the last
            # hidden activations: the mean of the logits is the logits of the mean activation.
            mean = self._activations(cast(Tensor, self.contexts)).mean(dim=0)
            weight, bias = self._split(self.generated(mean))
        return F.linear(embedding, weight, bias)

    def logits_per_context(self, embedding: Tensor) -> Tensor:
        """Compute the logits under each of the fixed contexts.

        Parameters
        ----------
        embedding : torch.Tensor of shape (n_samples, in_features)
            What the generated layers are applied to.

        Returns
        -------
        torch.Tensor of shape (n_contexts, n_samples, out_features)
            Their mean over the first axis is what :meth:`forward` returns in evaluation mode.

        Raises
        ------
        ValueError
            With ``context="data"``, where no context is fixed.
        """
        if self.contexts is None:
            raise ValueError("context='data' has no fixed contexts; each row brings its own.")
        weight, bias = self.generate(self.contexts)
        return torch.einsum("coi,bi->cbo", weight, embedding) + bias[:, None]

    def extra_repr(self) -> str:
        """Describe the layer in one line."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"context={self.context!r}, n_contexts={self.n_contexts}, "
            f"n_hidden_layers={self.n_hidden_layers}"
        )

    def _activations(self, contexts: Tensor) -> Tensor:
        activations = F.relu(self.hidden(contexts))
        for layer in self.further_hidden:
            activations = F.relu(layer(activations))
        return activations

    def _further_layers(self) -> list[nn.Linear]:
        return [cast(nn.Linear, layer) for layer in self.further_hidden]

    def _split(self, generated: Tensor) -> tuple[Tensor, Tensor]:
        n_weights = self.out_features * self.in_features
        weight, bias = generated.split([n_weights, self.out_features], dim=-1)
        return weight.unflatten(-1, (self.out_features, self.in_features)), bias

    def _checked(self, context: Tensor | None, n_rows: int) -> Tensor:
        expected = (n_rows, self.context_dim)
        if context is None:
            raise ValueError(
                f"context='data' needs a context of shape {expected} with every batch."
            )
        if context.shape != expected:
            raise ValueError(f"context must have shape {expected}, got {tuple(context.shape)}.")
        return context


def build_head(
    head: str, in_features: int, n_classes: int, **arguments: Any
) -> HyperLinear | nn.Linear:
    """Return a :class:`HyperLinear` with more arguments, or for ``"dense"`` a linear layer."""
    if head not in HEADS:
        raise ValueError(f"head must be one of {HEADS}, got {head!r}.")
    if head == "dense":
        return nn.Linear(in_features, n_classes)
    return HyperLinear(in_features, n_classes, **arguments)


class HyperClassifierModule(nn.Module):
    """Classifier of feature vectors with one linear layer, generated or not.

    Parameters
    ----------
    in_features : int
        Number of features.
    n_classes : int, default=2
        Number of logits.
    context_dim, hidden_dim, n_contexts, context, n_hidden_layers
        See :class:`HyperLinear`.
    context_seed : int, default=0
        Seed of the fixed contexts.
    head : {"hyper", "dense"}, default="hyper"
        :class:`HyperLinear`, or the ablation with an ordinary linear layer.

    Raises
    ------
    ValueError
        A parameter is not among its options, or a size below 1.
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int = 2,
        context_dim: int = 128,
        hidden_dim: int = 512,
        n_contexts: int = 32,
        context: str = "noise",
        context_seed: int = 0,
        n_hidden_layers: int = 1,
        head: str = "hyper",
    ) -> None:
        super().__init__()
        self.head = build_head(
            head,
            in_features,
            n_classes,
            context_dim=context_dim,
            hidden_dim=hidden_dim,
            n_contexts=n_contexts,
            context=context,
            seed=context_seed,
            n_hidden_layers=n_hidden_layers,
        )

    def forward(self, X: Tensor, context: Tensor | None = None) -> Tensor:
        """Compute logits of shape (n_samples, n_classes).

        Parameters
        ----------
        X : torch.Tensor of shape (n_samples, in_features)
            Features.
        context : torch.Tensor of shape (n_samples, context_dim), optional
            Required with ``context="data"``.

        Returns
        -------
        torch.Tensor of shape (n_samples, n_classes)
            See :meth:`HyperLinear.forward`.
        """
        return self.head(X, context) if isinstance(self.head, HyperLinear) else self.head(X)

    def logits_per_context(self, X: Tensor) -> Tensor:
        """Compute logits of shape (n_contexts, n_samples, n_classes).

        Parameters
        ----------
        X : torch.Tensor of shape (n_samples, in_features)
            Features.

        Returns
        -------
        torch.Tensor of shape (n_contexts, n_samples, n_classes)
            See :meth:`HyperLinear.logits_per_context`.

        Raises
        ------
        ValueError
            The head is dense, or no context is fixed.
        """
        if not isinstance(self.head, HyperLinear):
            raise ValueError("head='dense' has no contexts.")
        return self.head.logits_per_context(X)
