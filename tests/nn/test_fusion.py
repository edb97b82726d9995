import numpy as np
import pytest
import torch

from sklearn_dysarthria.nn import (
    AttentionFusion,
    ConcatFusion,
    FiLMFusion,
    GatedFusion,
    HyperLinear,
    TaskFusionModule,
)

D, F = 5, 4
FUSION_MODULES = {
    "concat": ConcatFusion,
    "gmu": GatedFusion,
    "film": FiLMFusion,
    "attention": AttentionFusion,
}


def numbers(module):
    return {name: p.detach().numpy().astype(np.float64) for name, p in module.named_parameters()}


def softmax(scores):
    e = np.exp(scores - scores.max())
    return e / e.sum()


def concat_by_hand(p, x, there):
    blocks = [x[t] if there[t] else p["absent"][t] for t in range(len(x))]
    return np.maximum(p["project.weight"] @ np.concatenate(blocks) + p["project.bias"], 0)


def gmu_by_hand(p, x, there):
    blocks = np.concatenate([x[t] if there[t] else p["absent"][t] for t in range(len(x))])
    out = np.zeros(F)
    for unit in range(F):
        logits, hidden = [], []
        for t in range(len(x)):
            if not there[t]:
                continue
            is_last = t == len(x) - 1
            logits.append(0.0 if is_last else p["gate.weight"][t * F + unit] @ blocks)
            hidden.append(np.tanh(p[f"project.{t}.weight"][unit] @ x[t]))
        out[unit] = softmax(np.array(logits)) @ np.array(hidden)
    return out


def attention_by_hand(p, x, there):
    chosen = [x[t] + p["task"][t] for t in range(len(x)) if there[t]]
    scores = [p["query"] @ (p["key.weight"] @ v + p["key.bias"]) / np.sqrt(F) for v in chosen]
    values = [p["value.weight"] @ v + p["value.bias"] for v in chosen]
    return softmax(np.array(scores)) @ np.array(values)


def film_by_hand(p, x, there):
    rows = []
    for t in np.flatnonzero(there):
        row = p[f"project.{t}.weight"] @ x[t] + p[f"project.{t}.bias"]
        others = [x[s] for s in np.flatnonzero(there) if s != t]
        if others:
            change = p[f"modulate.{t}.weight"] @ np.mean(others, axis=0) + p[f"modulate.{t}.bias"]
            row = (1 + change[:F]) * row + change[F:]
        rows.append(row)
    return np.mean(rows, axis=0)


BY_HAND = {
    "concat": concat_by_hand,
    "gmu": gmu_by_hand,
    "attention": attention_by_hand,
    "film": film_by_hand,
}


def batch(n_tasks, n=40, seed=0):
    """Embeddings, and masks of every kind that leave at least one task."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, n_tasks, D)).astype(np.float32)
    present = rng.random((n, n_tasks)) < 0.6
    present[np.arange(n), rng.integers(n_tasks, size=n)] = True
    return x, present


def scrambled(module):
    """No parameter is at a special initial value such as zero."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    return module.eval()


@pytest.mark.parametrize("n_tasks", [1, 2, 3, 5])
@pytest.mark.parametrize("name", list(FUSION_MODULES))
def test_against_numpy(name, n_tasks):
    module = scrambled(FUSION_MODULES[name](n_tasks, D, F))
    x, present = batch(n_tasks)
    with torch.no_grad():
        fused = module(torch.from_numpy(x), torch.from_numpy(present)).numpy()
    p = numbers(module)
    expected = [BY_HAND[name](p, row, there) for row, there in zip(x, present, strict=True)]
    np.testing.assert_allclose(fused, expected, rtol=1e-4, atol=1e-4)


def test_two_gates_are_the_bimodal_unit():
    module = scrambled(GatedFusion(2, D, F))
    x, _ = batch(2)
    both = torch.ones(len(x), 2, dtype=torch.bool)
    with torch.no_grad():
        fused, gates = module(torch.from_numpy(x), both), module.gates(torch.from_numpy(x), both)
    p = numbers(module)
    assert set(p) == {"absent", "gate.weight", "project.0.weight", "project.1.weight"}
    z = 1 / (1 + np.exp(-x.reshape(-1, 2 * D) @ p["gate.weight"].T))
    h = [np.tanh(x[:, t] @ p[f"project.{t}.weight"].T) for t in range(2)]
    np.testing.assert_allclose(fused, z * h[0] + (1 - z) * h[1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gates[:, 0], z, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["gmu", "attention"])
def test_task_weights(name):
    module = scrambled(FUSION_MODULES[name](3, D, F))
    x, present = batch(3)
    with torch.no_grad():
        weights = module.task_weights(torch.from_numpy(x), torch.from_numpy(present)).numpy()
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)
    assert (weights[~present] == 0).all()
    assert (weights[present] > 0).all()


@pytest.mark.parametrize("name", list(FUSION_MODULES))
@pytest.mark.parametrize("content", [np.nan, np.inf, 1e30])
def test_what_stands_for_a_missing_task_is_never_looked_at(name, content):
    module = scrambled(FUSION_MODULES[name](3, D, F))
    x, present = batch(3)
    mask = torch.from_numpy(present)
    other = x.copy()
    other[~present] = content
    expected = module(torch.from_numpy(x), mask)
    fused = module(torch.from_numpy(other), mask)
    assert torch.equal(fused, expected)
    fused.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in module.parameters() if p.grad is not None)


@pytest.mark.parametrize("kind", [ConcatFusion, GatedFusion])
def test_the_absent_vector_learns_from_missing_tasks_only(kind):
    module = scrambled(kind(2, D, F))
    x, _ = batch(2, n=6)
    present = torch.ones(6, 2, dtype=torch.bool)
    present[:3, 1] = False
    module(torch.from_numpy(x), present).square().sum().backward()
    assert (module.absent.grad[0] == 0).all()
    if kind is ConcatFusion:  # one task left leaves the gates of two nothing to choose
        assert (module.absent.grad[1] != 0).any()
    three = scrambled(kind(3, D, F))
    x, _ = batch(3, n=6)
    present = torch.ones(6, 3, dtype=torch.bool)
    present[:3, 1] = False
    three(torch.from_numpy(x), present).square().sum().backward()
    assert (three.absent.grad[1] != 0).any()
    assert (three.absent.grad[[0, 2]] == 0).all()


def test_a_task_alone_is_not_modulated():
    module = scrambled(FiLMFusion(2, D, F))
    x, _ = batch(2, n=3)
    alone = torch.tensor([[True, False]] * 3)
    fused = module(torch.from_numpy(x), alone)
    assert torch.allclose(fused, module.project[0](torch.from_numpy(x[:, 0])))


def test_attention_starts_nearly_even():
    module = AttentionFusion(3, 64, 32)
    x = torch.randn(50, 3, 64)
    weights = module.task_weights(x, torch.ones(50, 3, dtype=torch.bool))
    assert ((weights > 0.05) & (weights < 0.8)).all()


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("fusion", list(FUSION_MODULES))
def test_module_on_vectors(fusion, share):
    module = TaskFusionModule(
        3, 2, in_features=7, fusion=fusion, share_backbone=share, embedding_dim=D, fusion_dim=F
    ).eval()
    assert len(module.encoders) == (1 if share else 3)
    x, present = torch.randn(10, 3, 7), torch.from_numpy(batch(3, n=10)[1])
    logits = module(x, present)
    assert logits.shape == (10, 2)
    embedded = module.embed(x, present)
    for task in range(3):
        encoder = module.encoders[0 if share else task]
        rows = present[:, task]
        torch.testing.assert_close(embedded[rows, task], encoder(x[rows, task]))
    hidden = x.clone()
    hidden[~present] = torch.nan
    assert torch.equal(module(hidden, present), logits)
    torch.testing.assert_close(logits, module.head(module.fusion(embedded, present)))


def test_module_on_images():
    module = TaskFusionModule(
        2, 3, fusion="gmu", head="dense", backbone="convnext_femto", freeze=2, share_backbone=False
    ).eval()
    assert [encoder[0].n_frozen for encoder in module.encoders] == [2, 2]
    assert module.embedding_dim == 768
    x = torch.randn(2, 2, 3, 32, 32)
    present = torch.tensor([[True, True], [False, True]])
    assert module(x, present).shape == (2, 3)
    torch.testing.assert_close(
        module.task_weights(x, present)[1], torch.tensor([0.0, 1.0]), rtol=0, atol=0
    )


def test_heads():
    hyper = TaskFusionModule(2, 3, in_features=4, fusion_dim=F, context_dim=6, n_contexts=9)
    assert isinstance(hyper.head, HyperLinear)
    assert hyper.head.contexts.shape == (9, 6)
    assert hyper.head.in_features == F
    dense = TaskFusionModule(2, 3, in_features=4, fusion_dim=F, head="dense")
    assert dense.head.weight.shape == (3, F)


def test_task_dropout_withholds_tasks_in_training_and_never_all():
    module = TaskFusionModule(3, in_features=2, embedding_dim=D, fusion_dim=F, task_dropout=0.4)
    present = torch.ones(20000, 3, dtype=torch.bool)
    kept = module._withhold(present)
    assert kept.any(dim=1).all()
    # Withheld independently, but for rows that would lose all three: 0.4 - 0.4 ** 3 / 3.
    np.testing.assert_allclose((~kept).float().mean(dim=0), 0.4 - 0.4**3 / 3, atol=0.015)
    mask = torch.from_numpy(batch(3, n=2000)[1])
    kept = module._withhold(mask)
    assert not (kept & ~mask).any()
    assert kept.any(dim=1).all()
    x = torch.randn(8, 3, 2)
    module.eval()
    full = torch.ones(8, 3, dtype=torch.bool)
    assert torch.equal(module(x, full), module(x, full))
    module.head = torch.nn.Identity()  # the noise of the head is not what is meant here
    module.train()
    assert not torch.equal(module(x, full), module(x, full))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fusion": "sum"}, "fusion must be one of"),
        ({"head": "sum"}, "head must be one of"),
        ({"task_dropout": 1.0}, r"task_dropout must be in \[0, 1\)"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        TaskFusionModule(2, in_features=3, **arguments)


def test_nothing_to_fuse_or_to_weight():
    module = TaskFusionModule(2, in_features=3, fusion="film", embedding_dim=D, fusion_dim=F)
    x, present = torch.randn(2, 2, 3), torch.tensor([[True, False], [False, False]])
    with pytest.raises(ValueError, match=r"samples \[1\] have no task"):
        module(x, present)
    with pytest.raises(ValueError, match="weight the tasks"):
        module.task_weights(x, present[:1])
