from __future__ import annotations

import pytest
import torch
from torch import nn

from sklearn_dysarthria.nn import ConvNeXtModule, FocalLoss, HyperAlexNetModule, HyperLinear


def hyper(**parameters) -> HyperAlexNetModule:
    parameters = {"embedding_dim": 12, "hidden_dim": 16, "n_contexts": 3} | parameters
    return HyperAlexNetModule(backbone="convnext_femto", **parameters)


@pytest.fixture
def images():
    return torch.randn(4, 3, 32, 40)


@pytest.fixture
def context():
    return torch.randn(4, 128)


def test_hyper_head(images):
    module = hyper(n_classes=5).eval()
    embedding = module.embed(images)
    assert embedding.shape == (4, 12)
    torch.testing.assert_close(embedding, module.embedding(module.backbone(images)))
    assert torch.equal(module(images), module.head(embedding))
    per_context = module.logits_per_context(images)
    assert per_context.shape == (3, 4, 5)
    torch.testing.assert_close(per_context.mean(dim=0), module(images))
    module.train()
    assert not torch.equal(module(images), module(images))


def test_data_context(images, context):
    module = hyper(context="data")
    assert torch.equal(module(images, context), module.head(module.embed(images), context))
    assert not torch.equal(module(images, context), module(images, 2 * context))
    with pytest.raises(ValueError, match="needs a context of shape"):
        module(images)
    with pytest.raises(ValueError, match="no fixed contexts"):
        module.logits_per_context(images)


def test_dense_head_is_the_ablation(images, context):
    module = hyper(head="dense")
    assert type(module.head) is nn.Linear
    torch.testing.assert_close(module(images), module.head(module.embed(images)))
    with pytest.raises(ValueError, match="takes no context"):
        module(images, context)
    with pytest.raises(ValueError, match="has no contexts"):
        module.logits_per_context(images)


def test_parameters_reach_the_head():
    head = hyper(n_classes=3, context_dim=9, n_contexts=7, context_seed=4).head
    expected = HyperLinear(12, 3, context_dim=9, hidden_dim=16, n_contexts=7, seed=4)
    assert repr(head) == repr(expected)
    assert torch.equal(head.contexts, expected.contexts)


def test_unknown_head():
    with pytest.raises(ValueError, match="head must be one of"):
        hyper(head="linear")


def test_alexnet_trains_its_head_on_frozen_pretrained_features(alexnet_file, torchvision_alexnet):
    module = HyperAlexNetModule(weights=alexnet_file, freeze="all").train()
    assert module.embedding.weight.shape == (768, 4096)
    assert (module.head.in_features, module.head.out_features) == (768, 2)
    learnable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    assert len(learnable) == 6
    embedding, head = module.embedding.weight.clone(), module.head.generated.weight.clone()
    optimizer = torch.optim.Adam(learnable, lr=1e-3)
    FocalLoss()(module(torch.randn(2, 3, 64, 64)), torch.tensor([0, 1])).backward()
    optimizer.step()
    assert not torch.equal(module.embedding.weight, embedding)
    assert not torch.equal(module.head.generated.weight, head)
    source = torchvision_alexnet.state_dict()
    loaded = module.backbone.torchvision_state_dict()
    assert all(torch.equal(tensor, source[name]) for name, tensor in loaded.items())


def test_convnext(images):
    module = ConvNeXtModule(5, "femto", stochastic_depth=0.3, freeze=2).eval()
    assert module.embed(images).shape == (4, 192)
    torch.testing.assert_close(module(images), module.head(module.embed(images)))
    assert module(images).shape == (4, 5)
    assert module.backbone.n_frozen == 2


def test_convnext_default_is_base():
    with torch.device("meta"):
        assert ConvNeXtModule(4).backbone.name == "convnext_base"
    with pytest.raises(ValueError, match="Unknown backbone 'convnext_huge'"):
        ConvNeXtModule(4, "huge")


def test_state_dict_restores_predictions(images):
    for build in (hyper, lambda: ConvNeXtModule(3, "femto")):
        trained, fresh = build().eval(), build().eval()
        assert not torch.equal(fresh(images), trained(images))
        fresh.load_state_dict(trained.state_dict())
        assert torch.equal(fresh(images), trained(images))


def test_convnext_learns_from_scratch():
    torch.manual_seed(3)
    module = ConvNeXtModule(2, "femto", stochastic_depth=0.0)
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3)
    y = torch.arange(16) % 2
    images = 0.3 * torch.randn(16, 3, 32, 32)
    images[y == 1, :, 8:12] += 1.0
    for _ in range(12):
        optimizer.zero_grad()
        FocalLoss()(module(images), y).backward()
        optimizer.step()
    assert (module.eval()(images).argmax(dim=1) == y).all()
