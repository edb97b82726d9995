"""Fitting through the classifiers against a training loop written by hand; layouts and bfloat16.

Run from the top of the checkout, with ``OMP_NUM_THREADS=2`` before it for two threads::

    python benchmarks/speed/training_loop.py overhead
    python benchmarks/speed/training_loop.py layouts
    python benchmarks/speed/training_loop.py layouts --network convnext_base
    python benchmarks/speed/training_loop.py overhead --device cuda
    python benchmarks/speed/training_loop.py layouts --device cuda

``overhead``: the loop written by hand sees the same batches of the same images, starts from the
same weights, takes the same fused optimiser, keeps no losses and never waits for a device.  That
both end with the same weights and probabilities is checked first.  Target: a whole fit through the
classifier takes at most 1.05 times as long, with what comes before and after the steps.  The fits
are short, which counts set-up for more than a user's would.

``layouts``: what channels-last images (and weights) and bfloat16 autocast bring, for the forward
pass and for a training step, and how far they change the outputs.
"""

import argparse
import time
from dataclasses import dataclass, field
from functools import partial

import side_by_side  # first: it pins the threads

# isort: split
import numpy as np
import torch
from side_by_side import in_turns, keep, ratio, table
from sklearn.utils import check_random_state

from sklearn_dysarthria import (
    ConvNeXtSeverityClassifier,
    HyperAlexNetClassifier,
    Backbone,
)
from sklearn_dysarthria.nn import ConvNeXtModule, HyperAlexNetModule, build_backbone

torch.set_num_threads(side_by_side.THREADS)

TARGET = 1.05
BATCH = 16
PACKAGES = ("numpy", "scikit-learn", "torch", "torchvision", "skorch")


def images_and_labels(n, size):
    images = np.random.default_rng(0).normal(size=(n, 3, size, size)).astype(np.float32)
    return images, np.arange(n) % 2


def finished(device):
    if device != "cpu":
        torch.cuda.synchronize()


# ----------------------------------------------------------------------------------- overhead


@dataclass
class Case:
    """A classifier, and its network and optimiser as written by hand."""

    estimator: type
    arguments: dict
    module: type
    module_arguments: dict
    optimizer: type
    weight_decay: float
    size: int
    n_images: int
    max_epochs: int
    lr: float = 1e-4
    seconds: dict = field(default_factory=dict)

    def model(self, device):
        """Make the classifier, with everything off that the loop by hand does not do."""
        return self.estimator(
            loss="cross_entropy",
            class_weight=None,
            augment=None,
            lr_schedule=None,
            lr=self.lr,
            batch_size=BATCH,
            max_epochs=self.max_epochs,
            mixed_precision=False,
            device=device,
            random_state=0,
            **self.arguments,
        )


def convnext(variant, size, n_images, max_epochs):
    return Case(
        ConvNeXtSeverityClassifier,
        {"backbone": Backbone(f"convnext_{variant}", weights=None)},
        ConvNeXtModule,
        {"variant": variant},
        torch.optim.AdamW,
        0.01,
        size,
        n_images,
        max_epochs,
    )


CASES = {
    "AlexNet, 224 × 224": Case(
        HyperAlexNetClassifier,
        {"backbone": Backbone("alexnet", weights=None)},
        HyperAlexNetModule,
        {"image_size": (224, 224)},
        torch.optim.Adam,
        0.0,
        size=224,
        n_images=48,
        max_epochs=2,
    ),
    "ConvNeXt femto, 64 × 64": convnext("femto", 64, n_images=128, max_epochs=4),
    "ConvNeXt femto, 224 × 224": convnext("femto", 224, n_images=48, max_epochs=2),
}


def by_hand(case, images, labels, device):
    """Train, and note the seconds of the steps alone."""
    # What random_state=0 comes to.
    seed = int(check_random_state(0).randint(2**31 - 1))
    torch.manual_seed(seed)
    more = {"context_seed": seed} if case.module is HyperAlexNetModule else {}
    module = case.module(n_classes=2, **case.module_arguments, **more).to(device)
    optimizer = case.optimizer(
        module.parameters(), lr=case.lr, weight_decay=case.weight_decay, fused=True
    )
    criterion = torch.nn.CrossEntropyLoss()
    images, labels = torch.from_numpy(images), torch.from_numpy(labels)
    module.train()
    start = time.perf_counter()
    for _ in range(case.max_epochs):
        for rows in shuffled(len(images)).split(BATCH):
            batch = images[rows].to(device, non_blocking=True)
            target = labels[rows].to(device, non_blocking=True)
            optimizer.zero_grad(set_to_none=True)
            criterion(module(batch), target).backward()
            optimizer.step()
    finished(device)
    case.seconds.setdefault("by hand", []).append(time.perf_counter() - start)
    return module


def shuffled(n):
    """Draw the order of an epoch as DataLoader does, so that all later draws agree as well."""
    torch.empty((), dtype=torch.int64).random_()  # its seed for workers
    seed = int(torch.empty((), dtype=torch.int64).random_())
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


def through_the_classifier(case, images, labels, device):
    model = case.model(device).fit(images, labels)
    finished(device)
    case.seconds.setdefault("classifier", []).append(model.history_["seconds"].sum())
    return model


@torch.no_grad()
def probabilities_by_hand(module, images, device):
    module.eval()
    batches = torch.from_numpy(images).split(BATCH)
    logits = [module(batch.to(device, non_blocking=True)) for batch in batches]
    return torch.cat(logits).double().softmax(dim=1).cpu().numpy()


def same(case, images, labels, device):
    """Check that both ways end alike; return the largest differences, and what they ended with."""
    module = by_hand(case, images, labels, device)
    model = through_the_classifier(case, images, labels, device)
    ours = model.net_.module_.state_dict()
    apart = max(
        float((tensor - ours[name]).abs().max())
        for name, tensor in module.state_dict().items()
        if tensor.is_floating_point()
    )
    expected = probabilities_by_hand(module, images, device)
    wrong = float(np.abs(model.predict_proba(images) - expected).max())
    # A GPU adds up in whichever order its blocks finish.
    tolerance = 1e-6 if device == "cpu" else 1e-3
    assert apart <= tolerance, f"weights {apart} apart"
    assert wrong <= tolerance, f"probabilities {wrong} apart"
    return apart, wrong, module, model


def overhead(device, rounds):
    rows = []
    for name, case in CASES.items():
        images, labels = images_and_labels(case.n_images, case.size)
        apart, wrong, module, model = same(case, images, labels, device)
        whole = in_turns(
            {
                "by hand": lambda: by_hand(case, images, labels, device),  # noqa: B023
                "classifier": lambda: through_the_classifier(case, images, labels, device),  # noqa: B023
            },
            rounds=rounds,
        )
        predicting = in_turns(
            {
                "by hand": lambda: probabilities_by_hand(module, images, device),  # noqa: B023
                "classifier": lambda: model.predict_proba(images),  # noqa: B023
            },
            rounds=rounds,
        )
        steps = {way: np.array(case.seconds[way][-rounds:]) for way in whole}
        outside = {way: np.median(whole[way] - steps[way]) for way in whole}
        n_steps = -(-case.n_images // BATCH) * case.max_epochs
        fit = ratio(whole, "classifier", "by hand")
        rows.append(
            [
                name,
                n_steps,
                f"{1e3 * np.median(steps['by hand']) / n_steps:.1f}",
                f"{np.median(steps['classifier'] / steps['by hand']):.3f}",
                f"{1e3 * outside['by hand']:.0f}",
                f"{1e3 * outside['classifier']:.0f}",
                f"**{fit:.3f}**" + ("" if fit <= TARGET else " (missed)"),
                f"{ratio(predicting, 'classifier', 'by hand'):.3f}",
                f"{apart:.0e}, {wrong:.0e}",
            ]
        )
    columns = [
        "network",
        "steps",
        "ms per step by hand",
        "steps, classifier / by hand",
        "ms outside the steps by hand",
        "by the classifier",
        f"whole fit, classifier / by hand (target {TARGET:g})",
        "predict_proba / by hand",
        "weights, probabilities differ by at most",
    ]
    return f"Batches of {BATCH}, on {device}; medians of {rounds} interleaved rounds.\n\n" + table(
        columns, rows
    )


# ------------------------------------------------------------------------------------ layouts

LAYOUTS = ("contiguous", "channels-last images", "channels-last images and weights")
BACKBONES = {
    "alexnet": (224, 16),
    "convnext_femto": (224, 16),
    "convnext_tiny": (224, 4),
    "convnext_base": (224, 1),  # only when asked for
}


class Contestant:
    """A backbone in one layout, with or without bfloat16."""

    def __init__(self, name, layout, bfloat16, images, device):
        torch.manual_seed(0)
        self.module = build_backbone(name).to(device)
        self.module.channels_last = False  # the benchmark chooses
        self.images = images.to(device)
        if layout != "contiguous":
            self.images = self.images.contiguous(memory_format=torch.channels_last)
        if layout == LAYOUTS[2]:
            self.module.to(memory_format=torch.channels_last)
        self.device = device
        self.autocast = partial(
            torch.autocast, torch.device(device).type, dtype=torch.bfloat16, enabled=bfloat16
        )
        self.optimizer = torch.optim.AdamW(self.module.parameters(), lr=0.0, fused=True)

    @torch.no_grad()
    def forward(self):
        """Return the features of the batch."""
        self.module.eval()
        with self.autocast():
            features = self.module(self.images).float()
        finished(self.device)
        return features

    def step(self):
        """Take one training step."""
        self.module.train()
        self.optimizer.zero_grad(set_to_none=True)
        with self.autocast():
            features = self.module(self.images)
        features.float().square().mean().backward()
        self.optimizer.step()
        finished(self.device)


def layouts(device, rounds, networks):
    rows = []
    for name in networks:
        size, batch = BACKBONES[name]
        images = torch.from_numpy(images_and_labels(batch, size)[0])
        made = {
            (layout, bfloat16): Contestant(name, layout, bfloat16, images, device)
            for bfloat16 in (False, True)
            for layout in (LAYOUTS if not bfloat16 else (LAYOUTS[0], LAYOUTS[1]))
        }
        plain = (LAYOUTS[0], False)
        expected = made[plain].forward()
        forward = in_turns({key: each.forward for key, each in made.items()}, rounds=rounds)
        step = in_turns({key: each.step for key, each in made.items()}, rounds=rounds)
        for key, each in made.items():
            apart = float((each.forward() - expected).abs().max() / expected.abs().max())
            assert apart <= (0.05 if key[1] else 1e-5), f"{name}, {key}: {apart}"
            rows.append(
                [
                    f"{name}, {batch} × {size} × {size}",
                    key[0],
                    "bfloat16" if key[1] else "float32",
                    f"{ratio(forward, plain, key):.2f}",
                    f"{ratio(step, plain, key):.2f}",
                    f"{apart:.0e}",
                ]
            )
        made.clear()
    columns = [
        "network, batch",
        "layout",
        "precision",
        "forward, times as fast",
        "training step, times as fast",
        "output differs by at most (of the largest)",
    ]
    return (
        f"On {device}, against contiguous float32 images; medians of {rounds} interleaved "
        f"rounds.\n\n{table(columns, rows)}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=["overhead", "layouts"])
    parser.add_argument("--device", default="cpu", help="as torch names it")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--network", choices=list(BACKBONES), help="of layouts")
    chosen = parser.parse_args()
    if chosen.part == "overhead":
        name, text = "training_loop", overhead(chosen.device, chosen.rounds)
    else:
        name = "training_loop_layouts" + (f"_{chosen.network}" if chosen.network else "")
        networks = [chosen.network] if chosen.network else list(BACKBONES)[:3]
        text = layouts(chosen.device, chosen.rounds, networks)
    if chosen.device != "cpu":
        name += f"_{torch.device(chosen.device).type}"
    elif side_by_side.THREADS != 1:
        name += f"_{side_by_side.THREADS}_threads"
    keep(name, text, packages=PACKAGES)


if __name__ == "__main__":
    main()
