from __future__ import annotations

import pytest
import torch
import torchvision


@pytest.fixture(autouse=True)
def _one_seed_and_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def perturbed(model: torch.nn.Module, scale: float) -> torch.nn.Module:
    """Move every tensor off its initial value, so that no block is the identity."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.add_(scale * torch.randn(tensor.shape, generator=generator))
    return model.eval()


@pytest.fixture(scope="session")
def torchvision_alexnet():
    torch.manual_seed(11)
    return perturbed(torchvision.models.alexnet(num_classes=3), 0.001)


@pytest.fixture(scope="session")
def alexnet_file(torchvision_alexnet, tmp_path_factory):
    path = tmp_path_factory.mktemp("alexnet") / "alexnet.pth"
    torch.save(torchvision_alexnet.state_dict(), path)
    yield path
    path.unlink()


@pytest.fixture(scope="session")
def torchvision_tiny():
    torch.manual_seed(12)
    return perturbed(torchvision.models.convnext_tiny(num_classes=3), 0.05)


@pytest.fixture(scope="session")
def tiny_file(torchvision_tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny") / "convnext_tiny.pth"
    torch.save(torchvision_tiny.state_dict(), path)
    yield path
    path.unlink()
