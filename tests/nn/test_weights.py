from __future__ import annotations

import functools
import hashlib
import http.server
import os
import socket
import sys
import threading

import pytest
import torch
from torchvision.models import ConvNeXt_Tiny_Weights

from sklearn_dysarthria.exceptions import WeightsError
from sklearn_dysarthria.nn import build_backbone, load_backbone_weights


@pytest.fixture
def backbone():
    return build_backbone("convnext_femto")


@pytest.fixture
def good():
    """Tensors for convnext_femto under torchvision's names, unlike any initial value."""
    expected = build_backbone("convnext_femto").torchvision_state_dict()
    return {name: torch.randn_like(tensor) for name, tensor in expected.items()}


@pytest.fixture
def save(tmp_path):
    def to_file(content, name="weights.pth") -> str:
        torch.save(content, tmp_path / name)
        return str(tmp_path / name)

    return to_file


def refused(backbone, weights) -> str:
    """Message of the error, having made sure that nothing was loaded."""
    before = {key: tensor.clone() for key, tensor in backbone.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        load_backbone_weights(backbone, weights)
    for key, tensor in backbone.state_dict().items():
        assert torch.equal(tensor, before[key]), key
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_none_loads_nothing(backbone):
    before = {key: tensor.clone() for key, tensor in backbone.state_dict().items()}
    load_backbone_weights(backbone, None)
    assert all(torch.equal(tensor, before[key]) for key, tensor in backbone.state_dict().items())


@pytest.mark.parametrize("last_layer", ["absent", "theirs"])
def test_a_fitting_file_sets_every_tensor(backbone, good, save, last_layer):
    names = list(good)
    if last_layer == "theirs":
        good |= {"classifier.2.weight": torch.zeros(1000, 192), "classifier.2.bias": torch.ones(7)}
    load_backbone_weights(backbone, save(good))
    loaded = backbone.torchvision_state_dict()
    assert list(loaded) == names
    assert all(torch.equal(loaded[name], good[name]) for name in names)


def test_loading_keeps_what_is_frozen_frozen(backbone, good, save):
    backbone.freeze(2)
    load_backbone_weights(backbone, save(good))
    assert [next(s.parameters()).requires_grad for s in backbone.stages] == [False] * 2 + [True] * 3


def test_half_precision_is_converted(backbone, good, save):
    load_backbone_weights(backbone, save({k: v.half() for k, v in good.items()}))
    stem = backbone.torchvision_state_dict()["features.0.0.weight"]
    assert stem.dtype == torch.float32
    assert torch.equal(stem, good["features.0.0.weight"].half().float())


def test_foreign_names(backbone, good, save):
    message = refused(backbone, save({f"layer{i}": torch.zeros(2) for i in range(9)}))
    assert f"{len(good)} missing (of {len(good)}): features.0.0.weight" in message
    assert "9 unexpected: layer0, layer1, layer2, layer3, layer4 and 4 more" in message
    assert "nothing was loaded" in message


def test_empty_file(backbone, save):
    assert "missing" in refused(backbone, save({}))


def test_one_missing_tensor(backbone, good, save):
    del good["features.3.0.layer_scale"]
    message = refused(backbone, save(good))
    assert f"1 missing (of {len(good) + 1}): features.3.0.layer_scale." in message
    assert "unexpected" not in message


def test_one_unexpected_tensor(backbone, good, save):
    good["classifier.3.weight"] = torch.zeros(2)
    assert "1 unexpected: classifier.3.weight." in refused(backbone, save(good))


def test_one_wrong_shape(backbone, good, save):
    good["features.0.0.weight"] = torch.zeros(24, 1, 4, 4)
    message = refused(backbone, save(good))
    assert "features.0.0.weight (24, 1, 4, 4) instead of (24, 3, 4, 4)" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_one_value_that_is_not_finite(backbone, good, save, value):
    good["features.0.0.bias"][3] = value
    assert "1 with NaN or infinite values: features.0.0.bias" in refused(backbone, save(good))


def test_integers(backbone, good, save):
    good["features.0.0.bias"] = good["features.0.0.bias"].long()
    assert "1 not floating point: features.0.0.bias" in refused(backbone, save(good))


def test_prefixed_names(backbone, good, save):
    prefixed = {f"module.{name}": tensor for name, tensor in good.items()}
    message = refused(backbone, save(prefixed))
    assert message.endswith("Remove the prefix 'module.' from the names.")


def test_wrapped_state_dict(backbone, good, save):
    message = refused(backbone, save({"state_dict": good, "epoch": 3}))
    assert (
        "state_dict, epoch are not tensors. Save what is under 'state_dict' by itself." in message
    )


def test_a_list(backbone, good, save):
    assert "holds a list, not a state dict" in refused(backbone, save(list(good.values())))


def test_a_whole_pickled_model(backbone, save):
    assert "cannot be read as a state dict" in refused(backbone, save(torch.nn.Linear(2, 2)))


@pytest.mark.parametrize("content", [b"", b"hello world\n", b"PK\x03\x04 not a zip", b"\x80\x02."])
def test_not_a_torch_file(backbone, tmp_path, content):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    assert "cannot be read as a state dict" in refused(backbone, path)


def test_a_truncated_file(backbone, good, save, tmp_path):
    save(good, "cut.pth")
    path = tmp_path / "cut.pth"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "cannot be read as a state dict" in refused(backbone, path)


def test_neither_file_nor_name(backbone, tmp_path):
    message = refused(backbone, str(tmp_path / "nowhere.pth"))
    assert "nowhere.pth' is neither a file nor a published name for convnext_femto" in message
    assert "(known names: none)" in message
    assert "neither a file" in refused(backbone, tmp_path)
    with torch.device("meta"):
        tiny = build_backbone("convnext_tiny")
    with pytest.raises(WeightsError) as caught:
        load_backbone_weights(tiny, "AlexNet_Weights.IMAGENET1K_V1")
    for name in ("IMAGENET1K_V1", "DEFAULT", "ConvNeXt_Tiny_Weights.IMAGENET1K_V1"):
        assert repr(name) in str(caught.value)


@pytest.mark.parametrize("name", ["DEFAULT", "IMAGENET1K_V1"])
def test_femto_has_no_published_weights(backbone, name):
    assert "published name for convnext_femto" in refused(backbone, name)


def test_home_is_expanded(backbone, good, save, monkeypatch):
    monkeypatch.setenv("HOME", os.path.dirname(save(good, "mine.pth")))
    load_backbone_weights(backbone, "~/mine.pth")
    assert torch.equal(
        backbone.torchvision_state_dict()["features.0.0.bias"], good["features.0.0.bias"]
    )


def test_build_backbone_passes_weights_on(good, save):
    path = save(good)
    loaded = build_backbone("convnext_femto", weights=path).torchvision_state_dict()
    assert all(torch.equal(loaded[name], good[name]) for name in good)


def test_safetensors(backbone, good, tmp_path):
    files = pytest.importorskip("safetensors.torch")
    files.save_file(good, tmp_path / "weights.safetensors")
    load_backbone_weights(backbone, tmp_path / "weights.safetensors")
    assert torch.equal(
        backbone.torchvision_state_dict()["features.0.0.bias"], good["features.0.0.bias"]
    )
    (tmp_path / "cut.safetensors").write_bytes(b"1")
    assert "cannot be read as a state dict" in refused(backbone, tmp_path / "cut.safetensors")


def test_safetensors_is_not_installed(backbone, good, save, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    message = refused(backbone, save(good, "weights.safetensors"))
    assert message.endswith("needs the package safetensors: pip install safetensors.")


class _SilentHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments) -> None:
        pass


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty torch.hub folder, and no proxy between us and a server on this computer."""
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "home" / "hub" / "checkpoints"


@pytest.fixture
def publish(tmp_path, monkeypatch, hub):
    """Let torchvision's name for convnext_tiny lead to a server on this computer."""
    folder = tmp_path / "server"
    folder.mkdir()
    handler = functools.partial(_SilentHandler, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def publish_as(source, name: str) -> None:
        if source is not None:
            os.link(source, folder / name)
        url = f"http://127.0.0.1:{server.server_port}/{name}"
        monkeypatch.setattr(ConvNeXt_Tiny_Weights.DEFAULT.value, "url", url)

    yield publish_as
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def digest(tiny_file):
    with open(tiny_file, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:8]


@pytest.fixture(scope="module")
def tiny():
    return build_backbone("convnext_tiny")


@pytest.mark.parametrize("name", ["DEFAULT", "ConvNeXt_Tiny_Weights.IMAGENET1K_V1"])
def test_named_weights_are_downloaded_once(tiny, publish, hub, tiny_file, digest, name):
    publish(tiny_file, f"tiny-{digest}.pth")
    load_backbone_weights(tiny, name)
    source = torch.load(tiny_file, weights_only=True)
    loaded = tiny.torchvision_state_dict()
    assert all(torch.equal(loaded[key], source[key]) for key in loaded)
    cached = hub / f"tiny-{digest}.pth"
    assert cached.stat().st_size == tiny_file.stat().st_size
    publish(None, f"nowhere/{cached.name}")  # the server has it no more, the folder has
    load_backbone_weights(tiny, name)
    cached.unlink()


def test_wrong_checksum(tiny, publish, hub, tiny_file):
    publish(tiny_file, "tiny-00000000.pth")
    message = refused(tiny, "DEFAULT")
    assert 'invalid hash value (expected "00000000"' in message
    assert list(hub.iterdir()) == []


def test_server_lacks_the_file(tiny, publish):
    publish(None, "tiny-00000000.pth")
    message = refused(tiny, "DEFAULT")
    assert "404" in message
    assert "give the path of the file as weights" in message


def test_offline(tiny, hub, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    url = f"http://127.0.0.1:{port}/tiny-00000000.pth"
    monkeypatch.setattr(ConvNeXt_Tiny_Weights.DEFAULT.value, "url", url)
    message = refused(tiny, "IMAGENET1K_V1")
    assert f"from {url} (" in message
    assert "give the path of the file as weights" in message
    assert repr(str(hub)) in message


def test_a_damaged_file_in_the_hub_folder(tiny, publish, hub, digest):
    publish(None, f"tiny-{digest}.pth")
    hub.mkdir(parents=True)
    (hub / f"tiny-{digest}.pth").write_bytes(b"damaged")
    assert "or was kept from it, is not" in refused(tiny, "DEFAULT")
