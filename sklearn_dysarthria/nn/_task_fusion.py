"""The network of several tasks: an encoder for each recording, a fusion, a head."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from sklearn_dysarthria.nn._backbone import Backbone
from sklearn_dysarthria.nn._backbones import build_backbone
from sklearn_dysarthria.nn._batch_norm import is_batch_too_small
from sklearn_dysarthria.nn._fusion import FUSION_MODULES, FUSIONS, FUSIONS_WITH_WEIGHTS
from sklearn_dysarthria.nn._hyper import HEADS, HyperLinear


class TaskFusionModule(nn.Module):
    """Embeddings of several tasks' recordings, fused, and a classification layer.

    Parameters
    ----------
    n_tasks : int
        Number of tasks.
    n_classes : int, default=2
        Number of logits.
    in_features : int, optional
        Size of the feature vectors, which a perceptron with one hidden layer embeds; None for
        images, which a backbone and a linear layer embed.
    fusion : {"concat", "gmu", "attention", "film"}, default="concat"
        See :class:`ConcatFusion`, :class:`GatedFusion`, :class:`AttentionFusion` and
        :class:`FiLMFusion`.
    head : {"hyper", "dense"}, default="hyper"
        :class:`HyperLinear` or an ordinary linear layer.
    backbone, depth, width, image_size, weights, freeze
        Of images only; see :func:`build_backbone` and :meth:`Backbone.freeze`.
    share_backbone : bool, default=True
        Whether one encoder embeds all tasks, or each task has its own.
    embedding_dim, fusion_dim : int, default=768, 256
        Size of a task's embedding and of the fused vector.
    context_dim, hidden_dim, n_hidden_layers, n_contexts
        See :class:`HyperLinear`.
    context_seed : int, default=0
        Seed of the fixed contexts.
    task_dropout : float, default=0
        Probability with which a task is withheld from a sample in training; the last is kept.

    Raises
    ------
    ValueError
        A parameter is not among its options.
    WeightsError
        The weights cannot be found or read, or do not fit tensor by tensor.
    """

    def __init__(
        self,
        n_tasks: int,
        n_classes: int = 2,
        in_features: int | None = None,
        fusion: str = "concat",
        head: str = "hyper",
        backbone: str = "alexnet",
        depth: int | None = None,
        width: float = 1.0,
        image_size: tuple[int, int] | None = None,
        weights: Any = None,
        freeze: int | str | None = None,
        share_backbone: bool = True,
        embedding_dim: int = 768,
        fusion_dim: int = 256,
        context_dim: int = 128,
        hidden_dim: int = 512,
        n_hidden_layers: int = 1,
        n_contexts: int = 32,
        context_seed: int = 0,
        task_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if fusion not in FUSIONS:
            raise ValueError(f"fusion must be one of {FUSIONS}, got {fusion!r}.")
        if head not in HEADS:
            raise ValueError(f"head must be one of {HEADS}, got {head!r}.")
        if not 0 <= task_dropout < 1:
            raise ValueError(f"task_dropout must be in [0, 1), got {task_dropout!r}.")
        self.embedding_dim = embedding_dim
        self.task_dropout = task_dropout
        images = {
            "weights": weights,
            "depth": depth,
            "width": width,
            "image_size": image_size,
        }
        self.encoders = nn.ModuleList(
            _perceptron(in_features, embedding_dim)
            if in_features is not None
            else _image_encoder(build_backbone(backbone, **images).freeze(freeze), embedding_dim)
            for _ in range(1 if share_backbone else n_tasks)
        )
        self.fusion: Any = FUSION_MODULES[fusion](n_tasks, embedding_dim, fusion_dim)
        self.head: nn.Module = nn.Linear(fusion_dim, n_classes)
        if head == "hyper":
            self.head = HyperLinear(
                fusion_dim,
                n_classes,
                context_dim=context_dim,
                hidden_dim=hidden_dim,
                n_hidden_layers=n_hidden_layers,
                n_contexts=n_contexts,
                seed=context_seed,
            )

    def embed(self, X: Tensor, present: Tensor) -> Tensor:
        """Embed the recordings that are there.

        Parameters
        ----------
        X : torch.Tensor of shape (n_samples, n_tasks, ...)
            Images or feature vectors; those of missing tasks are not looked at.
        present : torch.Tensor of bool of shape (n_samples, n_tasks)
            Which tasks are there.

        Returns
        -------
        torch.Tensor of shape (n_samples, n_tasks, embedding_dim)
            Zero where the task is missing.

        Raises
        ------
        ValueError
            A task's own encoder has batch normalisation and is trained on a single recording.
        """
        embeddings = X.new_zeros(*present.shape, self.embedding_dim)
        if len(self.encoders) == 1:
            embeddings[present] = self.encoders[0](X[present]).to(X.dtype)
            return embeddings
        for task, encoder in enumerate(self.encoders):
            rows = present[:, task]
            if rows.any():
                embeddings[rows, task] = _embed_alone(encoder, X[rows, task]).to(X.dtype)
        return embeddings

    def forward(self, X: Tensor, present: Tensor) -> Tensor:
        """Compute logits.

        Parameters
        ----------
        X, present
            As in :meth:`embed`; every row of `present` has a task.

        Returns
        -------
        torch.Tensor of shape (n_samples, n_classes)
            Logits.

        Raises
        ------
        ValueError
            A sample has no task.
        """
        _check_present(present)
        if self.training and self.task_dropout:
            present = self._withhold(present)
        return self.head(self.fusion(self.embed(X, present), present))

    def task_weights(self, X: Tensor, present: Tensor) -> Tensor:
        """Compute how much each task weighs in the fused vector.

        Parameters
        ----------
        X, present
            As in :meth:`forward`.

        Returns
        -------
        torch.Tensor of shape (n_samples, n_tasks)
            Mean gates, or attention; sums to 1, and is 0 for a missing task.

        Raises
        ------
        ValueError
            The fusion does not weight tasks, or a sample has no task.
        """
        if not hasattr(self.fusion, "task_weights"):
            raise ValueError(f"only the fusions {FUSIONS_WITH_WEIGHTS} weight the tasks.")
        _check_present(present)
        return self.fusion.task_weights(self.embed(X, present), present)

    def _withhold(self, present: Tensor) -> Tensor:
        # The task with the largest draw is the last to go, so that one always remains.
        draws = torch.rand(present.shape, device=present.device).masked_fill(~present, -1.0)
        last = F.one_hot(draws.argmax(dim=1), present.shape[1]).bool()
        return last | (draws >= self.task_dropout)


def _embed_alone(encoder: nn.Module, X: Tensor) -> Tensor:
    """Embed one task's recordings by the encoder that no other task shares."""
    try:
        return encoder(X)
    except ValueError as error:
        if not is_batch_too_small(error):
            raise
        raise ValueError(
            "A batch holds a single recording of a task, and the backbone's batch normalisation "
            "needs two: raise batch_size, or set share_backbone=True."
        ) from error


def _perceptron(in_features: int, embedding_dim: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(in_features, embedding_dim),
        nn.ReLU(),
        nn.Linear(embedding_dim, embedding_dim),
    )


def _image_encoder(backbone: Backbone, embedding_dim: int) -> nn.Module:
    return nn.Sequential(backbone, nn.Linear(backbone.out_features, embedding_dim))


def _check_present(present: Tensor) -> None:
    empty = ~present.any(dim=1)
    if empty.any():
        rows = empty.nonzero().flatten().tolist()
        raise ValueError(f"samples {rows} have no task at all.")
