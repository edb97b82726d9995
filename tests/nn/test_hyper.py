from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from sklearn_dysarthria.nn import HyperClassifierModule, HyperLinear, count_parameters

N, IN, OUT, CONTEXT, HIDDEN = 5, 7, 3, 4, 6


DEPTHS = [1, 2, 4]


def small(**parameters) -> HyperLinear:
    layer = HyperLinear(IN, OUT, context_dim=CONTEXT, hidden_dim=HIDDEN, **parameters).double()
    with torch.no_grad():  # biases start at zero, which would hide that one is left out
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return layer


def by_hand(layer: HyperLinear, context: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
    """Logits of one row under one context, from the definition."""
    hidden = context
    for linear in [layer.hidden, *layer.further_hidden]:
        hidden = torch.clamp(linear.weight @ hidden + linear.bias, min=0)
    flat = layer.generated.weight @ hidden + layer.generated.bias
    return F.linear(row, flat[: OUT * IN].reshape(OUT, IN), flat[OUT * IN :])


@pytest.fixture
def embedding():
    return torch.randn(N, IN, dtype=torch.float64)


@pytest.mark.parametrize("n_hidden_layers", DEPTHS)
def test_data_context_gives_every_row_its_own_layer(embedding, n_hidden_layers):
    layer = small(context="data", n_hidden_layers=n_hidden_layers)
    assert len(layer.further_hidden) == n_hidden_layers - 1
    contexts = torch.randn(N, CONTEXT, dtype=torch.float64)
    rows = zip(contexts, embedding, strict=True)
    expected = torch.stack([by_hand(layer, c, e) for c, e in rows])
    torch.testing.assert_close(layer.train()(embedding, contexts), expected)
    torch.testing.assert_close(layer.eval()(embedding, contexts), expected)
    assert layer.contexts is None
    assert "contexts" not in layer.state_dict()


@pytest.mark.parametrize("n_hidden_layers", DEPTHS)
def test_evaluation_averages_the_logits_over_fixed_contexts(embedding, n_hidden_layers):
    layer = small(n_contexts=9, n_hidden_layers=n_hidden_layers).eval()
    expected = torch.stack(
        [torch.stack([by_hand(layer, c, e) for e in embedding]) for c in layer.contexts]
    )
    torch.testing.assert_close(layer.logits_per_context(embedding), expected)
    torch.testing.assert_close(layer(embedding), expected.mean(dim=0))


def test_prediction_does_not_touch_the_global_generator(embedding):
    layer = small(n_contexts=3).eval()
    state = torch.get_rng_state()
    first = layer(embedding)
    layer.logits_per_context(embedding)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(layer(embedding), first)


def test_training_draws_one_fresh_context_per_batch(embedding):
    layer = small().train()
    torch.manual_seed(5)
    first, second = layer(embedding), layer(embedding)
    torch.manual_seed(5)
    drawn = torch.randn(CONTEXT, dtype=torch.float64)
    torch.testing.assert_close(first, torch.stack([by_hand(layer, drawn, e) for e in embedding]))
    assert not torch.allclose(first, second)
    fixed = layer.contexts.clone()
    layer(embedding)
    assert torch.equal(layer.contexts, fixed)


@pytest.mark.parametrize("mode", ["noise-train", "noise-eval", "data"])
def test_gradients(embedding, mode):
    context = torch.randn(N, CONTEXT, dtype=torch.float64, requires_grad=True)
    layer = small(context=mode.split("-")[0], n_contexts=2, n_hidden_layers=2)
    layer.train(mode != "noise-eval")
    names = [name for name, _ in layer.named_parameters()]

    def logits(rows, given, *values):
        torch.manual_seed(2)
        inputs = (rows, given) if mode == "data" else (rows,)
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), inputs)

    values = [parameter.detach().clone().requires_grad_() for parameter in layer.parameters()]
    embedding.requires_grad_()
    assert torch.autograd.gradcheck(logits, (embedding, context, *values))


@pytest.mark.parametrize(("in_features", "n_hidden_layers"), [(16, 1), (768, 1), (64, 2), (64, 5)])
def test_generated_weights_start_with_the_variance_of_a_fresh_linear(in_features, n_hidden_layers):
    weights, biases = [], []
    for _ in range(20):
        layer = HyperLinear(in_features, 2, n_hidden_layers=n_hidden_layers)
        weight, bias = layer.generate(torch.randn(200, layer.context_dim))
        weights.append(weight.flatten())
        biases.append(bias.flatten())
    fresh = 1 / (3 * in_features)
    assert torch.nn.Linear(in_features, 2000).weight.var().item() == pytest.approx(fresh, rel=0.05)
    assert torch.cat(weights).var().item() == pytest.approx(fresh, rel=0.1)
    assert torch.cat(biases).var().item() == pytest.approx(fresh, rel=0.4)
    assert abs(torch.cat(weights).mean().item()) < 0.2 * fresh**0.5


def test_paper_dimensions():
    layer = HyperLinear(768, 2)
    assert layer.hidden.weight.shape == (512, 128)
    assert layer.generated.weight.shape == (1536 + 2, 512)


def test_further_layers_are_hidden_dim_wide():
    layer = HyperLinear(768, 2, n_hidden_layers=3)
    assert [linear.weight.shape for linear in layer.further_hidden] == [(512, 512)] * 2
    # context to hidden, two times hidden to hidden, hidden to weights and biases
    expected = (128 + 1) * 512 + 2 * (512 + 1) * 512 + (512 + 1) * (1536 + 2)
    assert count_parameters(layer) == expected


def test_fixed_contexts_depend_on_the_seed_alone():
    one = HyperLinear(IN, OUT, n_contexts=4, seed=3)
    torch.manual_seed(99)
    assert torch.equal(HyperLinear(IN, OUT, n_contexts=4, seed=3).contexts, one.contexts)
    assert not torch.equal(HyperLinear(IN, OUT, n_contexts=4, seed=4).contexts, one.contexts)
    torch.set_default_dtype(torch.float64)
    try:
        wide = HyperLinear(IN, OUT, n_contexts=4, seed=3)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(wide.contexts, one.contexts.double())


def test_construction_takes_the_same_random_numbers_whatever_the_contexts():
    torch.manual_seed(1)
    one = HyperLinear(IN, OUT, n_contexts=1, seed=0)
    torch.manual_seed(1)
    many = HyperLinear(IN, OUT, n_contexts=64, seed=5)
    assert torch.equal(one.generated.weight, many.generated.weight)


def test_state_dict_and_copies_carry_the_contexts(embedding):
    layer = small(n_contexts=3, seed=1).eval()
    other = small(n_contexts=3, seed=2).eval()
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(embedding), layer(embedding))
    assert torch.equal(copy.deepcopy(layer)(embedding), layer(embedding))
    assert torch.equal(pickle.loads(pickle.dumps(layer))(embedding), layer(embedding))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"context": "dream"}, "context must be one of"),
        ({"n_contexts": 0}, "n_contexts must be at least 1"),
        ({"hidden_dim": 0}, "hidden_dim must be at least 1"),
        ({"n_hidden_layers": 0}, "n_hidden_layers must be at least 1"),
    ],
)
def test_wrong_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        HyperLinear(IN, OUT, **parameters)


def test_wrong_contexts(embedding):
    layer = small(context="data")
    with pytest.raises(ValueError, match=r"needs a context of shape \(5, 4\)"):
        layer(embedding)
    with pytest.raises(ValueError, match=r"must have shape \(5, 4\), got \(4, 4\)"):
        layer(embedding, torch.zeros(4, CONTEXT))
    with pytest.raises(ValueError, match="no fixed contexts"):
        layer.logits_per_context(embedding)
    with pytest.raises(ValueError, match="draws its own contexts"):
        small()(embedding, torch.zeros(N, CONTEXT))


@pytest.mark.parametrize("context", ["noise", "data"])
def test_classifier_module_is_the_layer(context):
    torch.manual_seed(1)
    module = HyperClassifierModule(
        IN, OUT, CONTEXT, HIDDEN, 3, context, context_seed=4, n_hidden_layers=2
    ).eval()
    torch.manual_seed(1)
    layer = HyperLinear(IN, OUT, CONTEXT, HIDDEN, 3, context, seed=4, n_hidden_layers=2).eval()
    X, given = torch.randn(N, IN), torch.randn(N, CONTEXT) if context == "data" else None
    assert torch.equal(module(X, given), layer(X, given))
    if context == "noise":
        assert torch.equal(module.logits_per_context(X), layer.logits_per_context(X))


def test_learns_under_fresh_contexts():
    X = torch.randn(64, IN)
    y = (X[:, 0] > 0).long()
    module = HyperClassifierModule(IN)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
    for _ in range(150):
        optimizer.zero_grad()
        F.cross_entropy(module(X), y).backward()
        optimizer.step()
    assert (module.eval()(X).argmax(dim=1) == y).float().mean() > 0.95
    assert module.logits_per_context(X).std(dim=0).max() > 0
