"""A patient's recordings of several tasks, fused into one vector; some tasks may be missing.

Every fusion takes embeddings of shape (n_samples, n_tasks, embedding_dim) and a mask that says
which of them are there.  What stands in the place of a missing one is never looked at.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


class ConcatFusion(nn.Module):
    """The tasks side by side, then a linear layer and a ReLU.

    Parameters
    ----------
    n_tasks, embedding_dim, fusion_dim : int
        Number of tasks, size of their embeddings, size of the fused vector.

    Attributes
    ----------
    absent : torch.nn.Parameter of shape (n_tasks, embedding_dim)
        Learned; stands in the block of a task that is missing.

    Notes
    -----
    The layer behind the concatenation, which makes the fused vector as large as that of the
    other fusions, is inferred.
    """

    def __init__(self, n_tasks: int, embedding_dim: int, fusion_dim: int) -> None:
        super().__init__()
        self.absent = nn.Parameter(torch.zeros(n_tasks, embedding_dim))
        self.project = nn.Linear(n_tasks * embedding_dim, fusion_dim)

    def forward(self, embeddings: Tensor, present: Tensor) -> Tensor:
        """Fuse.

        Parameters
        ----------
        embeddings : torch.Tensor of shape (n_samples, n_tasks, embedding_dim)
            Embeddings of the tasks.
        present : torch.Tensor of bool of shape (n_samples, n_tasks)
            Which of them are there; at least one in every row.

        Returns
        -------
        torch.Tensor of shape (n_samples, fusion_dim)
            One vector per sample.
        """
        blocks = _replaced(embeddings, present, self.absent)
        return F.relu(self.project(blocks.flatten(1)))


class GatedFusion(nn.Module):
    r"""Gated multimodal unit: each unit of the fused vector chooses among the tasks.

    For two tasks this is the bimodal unit of the paper,

    .. math::

       h_t = \tanh(W_t x_t), \quad z = \sigma(W_z [x_1; x_2]), \quad
       h = z \odot h_1 + (1 - z) \odot h_2.

    For any number of tasks, :math:`h = \sum_t z_t \odot h_t`, where the gates :math:`z_t` of a
    unit are a softmax over the tasks that are there.  The logit of the last task is fixed at 0,
    so that there are as many gate weights as in the bimodal unit, to which it then reduces.

    Parameters
    ----------
    n_tasks, embedding_dim, fusion_dim : int
        Number of tasks, size of their embeddings, size of the fused vector.

    Attributes
    ----------
    absent : torch.nn.Parameter of shape (n_tasks, embedding_dim)
        Learned; what the gates see in the block of a task that is missing.

    Notes
    -----
    The paper's unit for more than two modalities has independent sigmoids instead; the softmax
    keeps the gates of a unit adding up to 1, as those of the bimodal unit do.

    References
    ----------
    Arevalo, Solorio, Montes-y-Gómez, González, "Gated multimodal units for information fusion",
    arXiv:1702.01992 (2017).
    """

    def __init__(self, n_tasks: int, embedding_dim: int, fusion_dim: int) -> None:
        super().__init__()
        self.n_tasks, self.fusion_dim = n_tasks, fusion_dim
        self.absent = nn.Parameter(torch.zeros(n_tasks, embedding_dim))
        self.project = nn.ModuleList(
            nn.Linear(embedding_dim, fusion_dim, bias=False) for _ in range(n_tasks)
        )
        # A single task leaves nothing to choose, and torch warns of layers without weights.
        self.gate = (
            nn.Linear(n_tasks * embedding_dim, (n_tasks - 1) * fusion_dim, bias=False)
            if n_tasks > 1
            else None
        )

    def gates(self, embeddings: Tensor, present: Tensor) -> Tensor:
        """Compute the gates.

        Parameters
        ----------
        embeddings, present
            As in :meth:`forward`.

        Returns
        -------
        torch.Tensor of shape (n_samples, n_tasks, fusion_dim)
            Non-negative; sums to 1 over the tasks, and is 0 for those that are missing.
        """
        logits = embeddings.new_zeros(len(embeddings), 1, self.fusion_dim)
        if self.gate is not None:
            blocks = _replaced(embeddings, present, self.absent).flatten(1)
            chosen = self.gate(blocks).unflatten(1, (self.n_tasks - 1, self.fusion_dim))
            logits = torch.cat([chosen, logits.to(chosen.dtype)], dim=1)
        return logits.masked_fill(~present[..., None], -torch.inf).softmax(dim=1)

    def task_weights(self, embeddings: Tensor, present: Tensor) -> Tensor:
        """Compute the mean gate of every task.

        Parameters
        ----------
        embeddings, present
            As in :meth:`forward`.

        Returns
        -------
        torch.Tensor of shape (n_samples, n_tasks)
            Sums to 1; 0 for a missing task.
        """
        return self.gates(embeddings, present).mean(dim=2)

    def forward(self, embeddings: Tensor, present: Tensor) -> Tensor:
        """Fuse; see :meth:`ConcatFusion.forward`."""
        values = _zero_where_missing(embeddings, present).unbind(1)
        hidden = [layer(task) for layer, task in zip(self.project, values, strict=True)]
        return (self.gates(embeddings, present) * torch.stack(hidden, dim=1).tanh()).sum(dim=1)


class AttentionFusion(nn.Module):
    r"""Scaled dot-product attention of one learned query over the tasks.

    :math:`h = \sum_t \alpha_t\, V (x_t + p_t)`, where :math:`\alpha` is the softmax over the
    tasks that are there of :math:`q^\top K (x_t + p_t) / \sqrt{d}`, and :math:`p_t` is a learned
    vector that identifies the task.

    Parameters
    ----------
    n_tasks, embedding_dim, fusion_dim : int
        Number of tasks, size of their embeddings, size of keys, query and fused vector.

    References
    ----------
    Vaswani et al., "Attention is all you need", arXiv:1706.03762, equation 1.
    """

    def __init__(self, n_tasks: int, embedding_dim: int, fusion_dim: int) -> None:
        super().__init__()
        self.task = nn.Parameter(0.02 * torch.randn(n_tasks, embedding_dim))
        self.query = nn.Parameter(torch.randn(fusion_dim))
        self.key = nn.Linear(embedding_dim, fusion_dim)
        self.value = nn.Linear(embedding_dim, fusion_dim)

    def task_weights(self, embeddings: Tensor, present: Tensor) -> Tensor:
        """Compute the attention that each task gets.

        Parameters
        ----------
        embeddings, present
            As in :meth:`forward`.

        Returns
        -------
        torch.Tensor of shape (n_samples, n_tasks)
            Sums to 1; 0 for a missing task.
        """
        keys = self.key(_zero_where_missing(embeddings, present) + self.task)
        scores = keys @ self.query.to(keys.dtype) / len(self.query) ** 0.5
        return scores.masked_fill(~present, -torch.inf).softmax(dim=1)

    def forward(self, embeddings: Tensor, present: Tensor) -> Tensor:
        """Fuse; see :meth:`ConcatFusion.forward`."""
        values = self.value(_zero_where_missing(embeddings, present) + self.task)
        weights = self.task_weights(embeddings, present).to(values.dtype)
        return torch.einsum("nt,ntf->nf", weights, values)


class FiLMFusion(nn.Module):
    r"""Feature-wise linear modulation: each task is read in the light of the others.

    :math:`h` is the mean over the tasks that are there of
    :math:`\gamma_t \odot W_t x_t + \beta_t`, where :math:`\gamma_t = 1 + \Delta\gamma_t` and
    :math:`\beta_t` are linear in the mean of the other tasks that are there.  A task that is
    alone is not modulated.

    Parameters
    ----------
    n_tasks, embedding_dim, fusion_dim : int
        Number of tasks, size of their embeddings, size of the fused vector.

    References
    ----------
    Perez, Strub, de Vries, Dumoulin, Courville, "FiLM: visual reasoning with a general
    conditioning layer", arXiv:1709.07871 (2018), equations 1 and 2.
    """

    def __init__(self, n_tasks: int, embedding_dim: int, fusion_dim: int) -> None:
        super().__init__()
        self.project = nn.ModuleList(nn.Linear(embedding_dim, fusion_dim) for _ in range(n_tasks))
        self.modulate = nn.ModuleList(
            nn.Linear(embedding_dim, 2 * fusion_dim) for _ in range(n_tasks)
        )

    def forward(self, embeddings: Tensor, present: Tensor) -> Tensor:
        """Fuse; see :meth:`ConcatFusion.forward`."""
        values = _zero_where_missing(embeddings, present)
        there = present.to(values.dtype)
        others = there[:, None, :] * (1 - torch.eye(there.shape[1], device=there.device))
        others = others / others.sum(dim=2, keepdim=True).clamp(min=1)
        conditions = torch.einsum("nts,nsd->ntd", others, values)
        accompanied = others.sum(dim=2) > 0
        fused: Any = 0
        for task, (project, modulate) in enumerate(zip(self.project, self.modulate, strict=True)):
            change = modulate(conditions[:, task]) * accompanied[:, task, None]
            gamma, beta = change.chunk(2, dim=1)
            fused = fused + there[:, task, None] * ((1 + gamma) * project(values[:, task]) + beta)
        return fused / there.sum(dim=1, keepdim=True)


FUSION_MODULES = {
    "concat": ConcatFusion,
    "gmu": GatedFusion,
    "attention": AttentionFusion,
    "film": FiLMFusion,
}

FUSIONS = tuple(FUSION_MODULES)
"""Names of the fusions."""

FUSIONS_WITH_WEIGHTS = tuple(
    n for n, kind in FUSION_MODULES.items() if hasattr(kind, "task_weights")
)
"""Those that weight the tasks."""

FUSIONS_WITH_ABSENT_VECTOR = ("concat", "gmu")
"""Those that learn what stands for a missing task; the others do without it."""


def _replaced(embeddings: Tensor, present: Tensor, absent: Tensor) -> Tensor:
    return torch.where(present[..., None], embeddings, absent.to(embeddings.dtype))


def _zero_where_missing(embeddings: Tensor, present: Tensor) -> Tensor:
    """Set absent tasks to zero, so that a NaN there has no effect; the masks do the rest."""
    return embeddings.masked_fill(~present[..., None], 0)
