from __future__ import annotations

import copy
import re

import pytest
import torch
import torchvision
from torch import nn
from torch.overrides import TorchFunctionMode
from torchvision.ops import StochasticDepth

from sklearn_dysarthria.exceptions import WeightsError
from sklearn_dysarthria.nn import build_backbone

# One network or two of every family: embedding, and number of stages.
SIZES = {
    "densenet201": (1920, 10),
    "efficientnet_b7": (2560, 9),
    "efficientnet_v2_l": (1280, 9),
    "googlenet": (1024, 12),
    "inception_v3": (2048, 16),
    "maxvit_t": (512, 6),
    "mnasnet1_3": (1280, 14),
    "mobilenet_v2": (1280, 19),
    "mobilenet_v3_large": (1280, 18),
    "regnet_x_400mf": (400, 5),
    "regnet_y_128gf": (7392, 5),
    "resnet18": (512, 6),
    "resnext50_32x4d": (2048, 6),
    "shufflenet_v2_x2_0": (2048, 5),
    "squeezenet1_0": (512, 9),
    "swin_b": (1024, 9),
    "vgg19_bn": (4096, 33),
    "vit_h_14": (1280, 34),
    "wide_resnet50_2": (2048, 6),
}


class ShapesOnly(TorchFunctionMode):
    """Layers without memory; unlike the device "meta", arithmetic of a constructor is real."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function in (torch.empty, torch.zeros, torch.ones):
            kwargs["device"] = "meta"
        return function(*args, **kwargs)


@pytest.mark.parametrize("name", SIZES)
def test_sizes_and_smallest_images(name):
    with ShapesOnly():
        backbone = build_backbone(name).eval()
    assert (backbone.out_features, len(backbone.stages)) == SIZES[name]
    height, width = backbone.image_size or (backbone.minimum_size,) * 2
    found = backbone(torch.zeros(1, 3, height, width, device="meta"))
    assert found.shape == (1, backbone.out_features)
    if backbone.image_size is None:
        with pytest.raises(ValueError, match=f"{name} needs images of at least {height} ×"):
            backbone(torch.zeros(1, 3, height - 1, width, device="meta"))


def trained(model: nn.Module) -> nn.Module:
    """Move every tensor that counts off its initial value."""
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("num_batches_tracked"):
                tensor.fill_(5)
            elif tensor.is_floating_point() and "table" not in name:
                tensor.add_(0.02 * torch.rand_like(tensor))
    return model.eval()


def into(layer: nn.Module, model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    caught = []
    layer.register_forward_pre_hook(lambda _, given: caught.append(given[0]))
    with torch.no_grad():
        model(images)
    return caught[0]


@pytest.mark.parametrize(
    ("name", "last_layer", "options"),
    [
        ("resnet18", "fc", {}),
        ("densenet121", "classifier", {}),
        ("efficientnet_b0", "classifier.1", {}),
        ("mobilenet_v3_small", "classifier.3", {}),
        ("regnet_x_400mf", "fc", {}),
        ("shufflenet_v2_x0_5", "fc", {}),
        ("squeezenet1_1", "classifier.1", {}),
        ("swin_v2_t", "head", {}),
        ("googlenet", "fc", {"aux_logits": True, "transform_input": True, "init_weights": False}),
    ],
)
def test_features_are_what_the_last_layer_takes(name, last_layer, options, tmp_path):
    model = trained(torchvision.models.get_model(name, num_classes=3, **options))
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    backbone = build_backbone(name, weights=tmp_path / "weights.pth").eval()
    images = torch.randn(2, 3, 64, 64)
    expected = into(model.get_submodule(last_layer), model, images)
    if name.startswith("squeezenet"):  # whose last layer is applied before pooling
        expected = expected.mean(dim=(2, 3))
    with torch.no_grad():
        found = backbone(images)
    torch.testing.assert_close(found, expected)
    assert found.std() > 1e-4
    loaded = backbone.torchvision_state_dict()
    theirs = model.state_dict()
    assert all(torch.equal(tensor, theirs[key]) for key, tensor in loaded.items())
    unused = theirs.keys() - loaded.keys()
    assert unused == backbone.optional
    assert {key.split(".")[0] for key in unused} <= {last_layer.split(".")[0], "aux1", "aux2"}


@pytest.fixture(scope="module")
def resnet_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("resnet") / "resnet18.pth"
    torch.save(trained(torchvision.models.resnet18(num_classes=3)).state_dict(), path)
    yield path
    path.unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("bn1.running_var"), "1 missing (of 120): bn1.running_var"),
        (lambda state: state.update({"fc2.weight": torch.ones(2)}), "1 unexpected: fc2.weight"),
        (
            lambda state: state.update({"layer1.0.bn1.num_batches_tracked": torch.tensor(0.5)}),
            "1 floating point instead of integers: layer1.0.bn1.num_batches_tracked",
        ),
        (
            lambda state: state.update(torchvision.models.squeezenet1_1().state_dict()),
            "unexpected: f",
        ),
    ],
)
def test_anything_else_is_refused(change, message, resnet_file, tmp_path):
    state = torch.load(resnet_file, weights_only=True)
    change(state)
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match=re.escape(message)):
        build_backbone("resnet18", weights=tmp_path / "weights.pth")


def test_another_network_is_refused(resnet_file):
    with ShapesOnly():
        backbone = build_backbone("resnet34")
    assert "layer1.2.conv1.weight" in backbone.whole_network
    with pytest.raises(WeightsError, match="resnet34, and nothing was loaded: 80 mis") as caught:
        build_backbone("resnet34", weights=resnet_file)
    assert "prefix" not in str(caught.value)


def test_batch_counters_may_be_missing(resnet_file, tmp_path):
    state = torch.load(resnet_file, weights_only=True)
    kept = {name: tensor for name, tensor in state.items() if "num_batches" not in name}
    assert len(kept) == len(state) - 20
    torch.save(kept, tmp_path / "old.pth")
    images = torch.randn(2, 3, 32, 32)
    expected = build_backbone("resnet18", weights=resnet_file).eval()(images)
    found = build_backbone("resnet18", weights=tmp_path / "old.pth").eval()(images)
    assert torch.equal(found, expected)


def test_densenet_under_the_names_of_the_published_file(tmp_path):
    model = trained(torchvision.models.DenseNet(8, (2, 2), 16, num_classes=3))
    old = {
        re.sub(r"(denselayer\d\.)(norm|conv)([12])", r"\1\2.\3", name): tensor
        for name, tensor in model.state_dict().items()
    }
    assert "features.denseblock1.denselayer2.norm.1.weight" in old
    torch.save(old, tmp_path / "old.pth")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torchvision.models, "get_model", lambda name: copy.deepcopy(model))
        backbone = build_backbone("densenet121", weights=tmp_path / "old.pth")
    assert torch.equal(
        backbone.torchvision_state_dict()["features.denseblock1.denselayer2.conv2.weight"],
        model.state_dict()["features.denseblock1.denselayer2.conv2.weight"],
    )


@pytest.fixture
def small_vit(monkeypatch):
    """A ViT of torchvision's that is small but for its patches, under the name of ViT-B/16."""

    def build(name, image_size=224, **options):
        assert name == "vit_b_16"
        return torchvision.models.VisionTransformer(image_size, 16, 2, 2, 24, 32, **options)

    monkeypatch.setattr(torchvision.models, "get_model", build)
    return build


def test_vision_transformer(small_vit, tmp_path):
    model = trained(small_vit("vit_b_16", image_size=48, num_classes=3))
    torch.save(model.state_dict(), tmp_path / "vit.pth")
    backbone = build_backbone("vit_b_16", weights=tmp_path / "vit.pth", image_size=(48, 48)).eval()
    images = torch.randn(2, 3, 48, 48)
    expected = into(model.heads.head, model, images)
    torch.testing.assert_close(backbone(images), expected)
    assert backbone.image_size == (48, 48)
    with pytest.raises(ValueError, match=r"for images of 48 × 48 .* build it with image_size=\(64"):
        backbone(torch.zeros(1, 3, 64, 64))


def test_position_embeddings_fit_only_their_size(small_vit, tmp_path):
    torch.save(small_vit("vit_b_16").state_dict(), tmp_path / "vit.pth")
    with pytest.raises(WeightsError) as caught:
        build_backbone("vit_b_16", weights=tmp_path / "vit.pth", image_size=64)
    assert "encoder.pos_embedding (1, 197, 24) instead of (1, 17, 24)" in str(caught.value)
    assert str(caught.value).endswith(
        "Position embeddings fit only images of the size that they were trained on, 224 × 224, "
        "and vit_b_16 was built for 64 × 64."
    )


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("vit_b_16", (64, 48), "a multiple of 16 (its patch size), got 64 × 48; make images of 64"),
        ("vit_b_16", 100, "got 100 × 100; make images of 96 × 96"),
        ("vit_h_14", 3, "got 3 × 3; make images of 14 × 14"),
        ("maxvit_t", 200, "a multiple of 224 (32 × 7, its stride and window), got 200 × 200"),
        ("inception_v3", 64, "inception_v3 needs images of at least 75 × 75 pixels, got 64 × 64"),
    ],
)
def test_image_sizes_that_do_not_fit(name, size, message):
    with ShapesOnly(), pytest.raises(ValueError, match=re.escape(message)):
        build_backbone(name, image_size=size)


def test_freezing_a_vision_transformer(small_vit):
    backbone = build_backbone("vit_b_16", image_size=32)
    names = ("conv_proj", "encoder.layers.encoder_layer_0", "encoder.layers.encoder_layer_1")
    assert backbone.stage_names == (*names, "encoder.ln")
    backbone.train().freeze(2)
    frozen = {key for key, tensor in backbone.named_parameters() if not tensor.requires_grad}
    # The class token and the position embeddings belong to no stage.
    beside = {"network.class_token", "network.encoder.pos_embedding"}
    prefixes = tuple(f"network.{name}." for name in names[:2])
    assert frozen == beside | {k for k, _ in backbone.named_parameters() if k.startswith(prefixes)}
    assert not backbone.network.encoder.dropout.training
    assert backbone.network.encoder.layers[1].dropout.training
    backbone.freeze(None)
    assert all(tensor.requires_grad for tensor in backbone.parameters())


def test_a_frozen_resnet_keeps_its_running_means():
    backbone = build_backbone("resnet18").freeze(3).train()
    assert backbone.stage_names == ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")
    before = {key: tensor.clone() for key, tensor in backbone.state_dict().items()}
    backbone(torch.randn(2, 3, 64, 64)).sum().backward()
    after = backbone.state_dict()
    moved = {key.split(".")[1] for key in after if not torch.equal(after[key], before[key])}
    learns = {k.split(".")[1] for k, p in backbone.named_parameters() if p.grad is not None}
    assert moved == learns == {"layer2", "layer3", "layer4"}


def test_an_all_frozen_network_repeats_itself_in_training_mode():
    backbone = build_backbone("mobilenet_v3_small").freeze("all").train()
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(backbone(images), backbone(images))
    assert not any(p.requires_grad for p in backbone.parameters())
    clone = copy.deepcopy(backbone).train()
    assert torch.equal(clone(images), backbone(images))


@pytest.mark.parametrize("name", ["efficientnet_b0", "swin_t"])
def test_stochastic_depth(name):
    def skips(**parameters):
        with ShapesOnly():
            backbone = build_backbone(name, **parameters)
        return [part.p for part in backbone.modules() if isinstance(part, StochasticDepth)]

    own, half = skips(), skips(stochastic_depth_prob=0.5)
    assert max(half) == pytest.approx(0.5)
    assert half == pytest.approx([0.5 * p / max(own) for p in own])
    assert max(skips(stochastic_depth_prob=0.0)) == 0


def test_networks_that_skip_no_blocks():
    with ShapesOnly(), pytest.raises(ValueError, match="resnet18 has no stochastic depth"):
        build_backbone("resnet18", stochastic_depth_prob=0.1)
