from __future__ import annotations

import pytest
import torch
from torch import nn

from sklearn_dysarthria.nn import (
    BackboneModule,
    ConvNeXtModule,
    FocalLoss,
    HyperAlexNetModule,
    HyperLinear,
    build_backbone,
    count_parameters,
)


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
    sizes = {"context_dim": 9, "n_contexts": 7, "n_hidden_layers": 3}
    head = hyper(n_classes=3, context_seed=4, **sizes).head
    expected = HyperLinear(12, 3, hidden_dim=16, seed=4, **sizes)
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


@pytest.mark.parametrize("head", ["hyper", "dense"])
def test_one_output_for_ordinal_losses(images, head):
    assert hyper(n_classes=1, head=head)(images).shape == (4, 1)
    assert ConvNeXtModule(1, "femto")(images).shape == (4, 1)


def test_depth_and_width_reach_the_backbone(images):
    shape = {"depth": 3, "width": 0.5}
    module = hyper(depth=3, width=0.5, image_size=(32, 40), freeze=1)
    for found in (
        module.backbone,
        ConvNeXtModule(2, "femto", **shape, freeze=1).backbone,
        BackboneModule(2, "convnext_femto", **shape, freeze=1).backbone,
    ):
        assert (len(found.stages), found.out_features, found.n_frozen) == (3, 24, 1)
    assert module.embedding.in_features == 24
    assert module(images).shape == (4, 2)


def test_image_size_reaches_the_backbone():
    with torch.device("meta"):
        for module in (
            BackboneModule(2, image_size=(32, 32)),
            HyperAlexNetModule(backbone="vit_b_16", image_size=32, embedding_dim=8),
        ):
            assert module.backbone.image_size == (32, 32)
            assert module(torch.zeros(2, 3, 32, 32)).shape == (2, 2)
        with pytest.raises(ValueError, match="multiple of 16"):
            BackboneModule(2, image_size=(32, 40))


def test_backbone_module(images):
    module = BackboneModule(3, "convnext_femto", dropout=0.4).eval()
    embedding = module.embed(images)
    torch.testing.assert_close(embedding, module.backbone(images))
    torch.testing.assert_close(module(images), module.head(embedding))
    assert module.head.weight.shape == (3, 192)
    caught = []
    module.train().head.register_forward_pre_hook(lambda _, given: caught.append(given[0]))
    module(images)
    dropped = (caught[0] == 0).float().mean()
    assert 0.3 < dropped < 0.5


def test_stochastic_depth_reaches_the_backbone():
    for module in (
        BackboneModule(2, "convnext_femto", stochastic_depth=0.3),
        ConvNeXtModule(2, "femto", stochastic_depth=0.3),
    ):
        assert max(getattr(part, "p", 0) for part in module.backbone.modules()) == 0.3
    with pytest.raises(ValueError, match="no stochastic depth"):
        BackboneModule(2, "alexnet", stochastic_depth=0.3)


def test_weights_reach_the_backbone(tmp_path):
    state = build_backbone("convnext_femto").torchvision_state_dict()
    torch.save(state, tmp_path / "femto.pth")
    for module in (
        BackboneModule(2, "convnext_femto", weights=tmp_path / "femto.pth"),
        ConvNeXtModule(2, "femto", weights=tmp_path / "femto.pth"),
        hyper(weights=tmp_path / "femto.pth"),
    ):
        loaded = module.backbone.torchvision_state_dict()
        assert all(torch.equal(loaded[name], state[name]) for name in state)


def test_parameters_are_counted():
    module = BackboneModule(2, "convnext_femto", freeze="all")
    assert count_parameters(module, trainable_only=True) == 2 * 192 + 2
    assert count_parameters(module.head) == 2 * 192 + 2
    whole = sum(tensor.numel() for tensor in module.state_dict().values())
    assert count_parameters(module) == whole
    shared = nn.ModuleList([module.head, module.head])
    assert count_parameters(shared) == 2 * 192 + 2
    buffers = HyperLinear(12, 2, n_contexts=9)
    assert count_parameters(buffers) == sum(p.numel() for p in buffers.parameters())
