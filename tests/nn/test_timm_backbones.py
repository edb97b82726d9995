from __future__ import annotations

import re
import sys

import pytest
import torch

from sklearn_dysarthria.exceptions import WeightsError
from sklearn_dysarthria.nn import build_backbone, check_backbone_name


@pytest.fixture
def timm():
    return pytest.importorskip("timm")


# timm's networks for tests: a residual, two convolutional, a transformer with positions, one whose
# relative positions are buffers, and one with a normalisation and a layer between pool and logits.
NAMES = [
    "test_resnet",
    "test_convnext",
    "test_efficientnet",
    "test_vit",
    "test_vit_relpos",
    "test_mambaout",
    "test_byobnet",
]


@pytest.mark.parametrize("name", NAMES)
def test_features_are_what_the_classifier_takes(name, timm, tmp_path):
    if not timm.is_model(name):
        pytest.skip(f"timm {timm.__version__} has no {name}")
    model = timm.create_model(name, num_classes=3).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.rand_like(parameter))
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    published = timm.models.get_pretrained_cfg(name).input_size[1:]
    size = published if "vit" in name else (64, 64)
    backbone = build_backbone(
        f"timm/{name}", weights=tmp_path / "weights.pth", image_size=size
    ).eval()
    caught = []
    classifier = model.get_classifier()
    classifier.register_forward_pre_hook(lambda _, given: caught.append(given[0]))
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        model(images)
        found = backbone(images)
    torch.testing.assert_close(found, caught[0])
    assert found.shape == (2, backbone.out_features) == (2, classifier.in_features)
    unused = model.state_dict().keys() - backbone.torchvision_state_dict().keys()
    assert unused == backbone.optional
    assert len(unused) == 2


@pytest.fixture
def resnet_state(timm):
    return timm.create_model("test_resnet").state_dict()


def test_foreign_names_are_refused(resnet_state, tmp_path):
    torch.save(resnet_state, tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match="does not fit timm/test_convnext, and nothing was loa"):
        build_backbone("timm/test_convnext", weights=tmp_path / "weights.pth")


def test_safetensors(resnet_state, tmp_path):
    files = pytest.importorskip("safetensors.torch")
    path = tmp_path / "weights.safetensors"
    files.save_file({key: tensor.contiguous() for key, tensor in resnet_state.items()}, path)
    loaded = build_backbone("timm/test_resnet", weights=path).torchvision_state_dict()
    assert all(torch.equal(tensor, resnet_state[name]) for name, tensor in loaded.items())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="cannot be read as a state dict"):
        build_backbone("timm/test_resnet", weights=path)


@pytest.fixture
def hub(timm, monkeypatch):
    """Let timm find weights in a dict instead of on its hub."""
    create, held = timm.create_model, {}

    def create_model(name, pretrained=False, **options):
        model = create(name, **options)
        if pretrained:
            if name not in held:
                raise FileNotFoundError("Cannot reach the hub.\nAt all.")
            assert not options  # anything else loads less than everything
            model.load_state_dict(held[name])
        return model

    monkeypatch.setattr(timm, "create_model", create_model)
    return held


@pytest.mark.parametrize(
    ("name", "weights", "asked"),
    [
        ("timm/test_resnet", "pretrained", "test_resnet"),
        ("timm/test_resnet", "r160_in1k", "test_resnet.r160_in1k"),
        ("timm/test_resnet.r160_in1k", "pretrained", "test_resnet.r160_in1k"),
        ("timm/test_resnet.r160_in1k", "r160_in1k", "test_resnet.r160_in1k"),
    ],
)
def test_published_weights(name, weights, asked, hub, resnet_state):
    hub[asked] = resnet_state
    loaded = build_backbone(name, weights=weights).torchvision_state_dict()
    assert all(torch.equal(tensor, resnet_state[key]) for key, tensor in loaded.items())


def test_published_weights_that_cannot_be_had(hub):
    with pytest.raises(WeightsError) as caught:
        build_backbone("timm/test_resnet", weights="pretrained")
    assert "of timm's 'test_resnet' (Cannot reach the hub); download them" in str(caught.value)
    with pytest.raises(WeightsError, match=r"known names: 'pretrained', 'r160_in1k'\)"):
        build_backbone("timm/test_resnet", weights="IMAGENET1K_V1")


def test_published_positions_fit_only_their_size(timm, hub):
    hub["test_vit"] = timm.create_model("test_vit").state_dict()
    assert build_backbone("timm/test_vit", weights="pretrained").image_size == (160, 160)
    with pytest.raises(WeightsError, match=r"trained on, 160 × 160, and timm/test_vit was .* 64"):
        build_backbone("timm/test_vit", weights="pretrained", image_size=64)


@pytest.mark.usefixtures("timm")
def test_images_of_the_size_that_it_was_built_for():
    backbone = build_backbone("timm/test_vit", image_size=(32, 48)).eval()
    assert backbone(torch.zeros(1, 3, 32, 48)).shape == (1, 64)
    with pytest.raises(ValueError, match="was built for images of 32 × 48 pixels, got 48 × 32"):
        backbone(torch.zeros(1, 3, 48, 32))
    with pytest.raises(
        ValueError, match=r"images of 40 × 32 \(sides must .* 16 × 16\); .* 160 × 1"
    ):
        build_backbone("timm/test_vit", image_size=(40, 32))


@pytest.mark.usefixtures("timm")
def test_freezing():
    backbone = build_backbone("timm/test_vit", image_size=32).train().freeze(2)
    assert backbone.stage_names[:3] == ("patch_embed", "blocks.0", "blocks.1")
    assert not backbone.network.pos_embed.requires_grad
    assert not next(backbone.network.blocks[0].parameters()).requires_grad
    assert next(backbone.network.blocks[1].parameters()).requires_grad


def test_what_never_learns_does_not_start_to(timm, monkeypatch):
    create = timm.create_model

    def with_fixed_positions(name, **options):
        model = create(name, **options)
        model.pos_embed.requires_grad_(False)
        return model

    monkeypatch.setattr(timm, "create_model", with_fixed_positions)
    backbone = build_backbone("timm/test_vit").freeze("all").freeze(None)
    fixed = [name for name, p in backbone.named_parameters() if not p.requires_grad]
    assert fixed == ["network.pos_embed"]


@pytest.mark.usefixtures("timm")
def test_stochastic_depth():
    def largest(**parameters):
        modules = build_backbone("timm/test_convnext", **parameters).modules()
        return max((m.drop_prob for m in modules if type(m).__name__ == "DropPath"), default=0)

    assert largest() == 0
    assert largest(stochastic_depth_prob=0.3) == pytest.approx(0.3)
    with pytest.raises(ValueError, match="timm/vgg11 has no stochastic depth"):
        build_backbone("timm/vgg11", stochastic_depth_prob=0.3)


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm/resnt50", "Unknown backbone 'timm/resnt50'; did you mean 'timm/resnet50'"),
        ("timm/", "Unknown backbone 'timm/'"),
        ("timm/resnet50.a1_in2k", "Unknown backbone 'timm/resnet50.a1_in2k'"),
    ],
)
def test_unknown_names(name, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        check_backbone_name(name)


@pytest.mark.usefixtures("timm")
def test_known_names():
    check_backbone_name("timm/resnet50")
    check_backbone_name("timm/resnet50.a1_in1k")


def test_timm_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    for use in (check_backbone_name, build_backbone):
        with pytest.raises(ImportError) as caught:
            use("timm/resnet18")
        assert str(caught.value) == "timm/resnet18 needs the package timm: pip install timm."
    check_backbone_name("resnet18")
