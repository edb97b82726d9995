"""Training behind a frozen AlexNet: a plain PyTorch loop against HyperAlexNetClassifier.

    python benchmarks/speed/frozen_backbone.py training [synthetic|minsk2020] [rounds]
    python benchmarks/speed/frozen_backbone.py grid [synthetic|minsk2020]

``training``, about 7 minutes: 30 epochs with ``freeze="all"``, batches of 16, the default head.
Target: at least 15 times as fast as the loop, which takes the same batches and the same random
numbers and lays images out as torch does by default, with the same probabilities to 1e-5.

``grid``: GridSearchCV over 12 settings of the head, with and without ``cache=``.  No target but
that each image passes the backbone once, which is counted.

minsk2020 takes the recordings from ``SKLEARN_DYSARTHRIA_DATA``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from typing import Any

import side_by_side  # first: it pins the threads

# isort: split
import numpy as np
import torch
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from skorch.callbacks import Callback
from torch.utils.data import DataLoader, TensorDataset

from sklearn_dysarthria import (
    Backbone,
    CrossEntropy,
    HyperAlexNetClassifier,
    LogMelDeltaImages,
    fetch_minsk2020_als,
    nn,
)
from sklearn_dysarthria.nn import HyperAlexNetModule

EPOCHS, BATCH, SEED = 30, 16, 0
TARGET = 15.0


def images_and_labels(source: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images of 3 × 224 × 224 and labels 0 and 1."""
    if source == "minsk2020":
        table, labels = fetch_minsk2020_als(return_X_y=True, download_if_missing=False)
        return LogMelDeltaImages().fit_transform(table), np.unique(labels, return_inverse=True)[1]
    rng = np.random.default_rng(0)
    labels = np.arange(112) % 2
    images = rng.normal(size=(112, 3, 224, 224)).astype(np.float32)
    images[labels == 1, :, 80:140] += 0.5
    return images, labels


def plain_loop(images: np.ndarray, labels: np.ndarray, seed: int, epochs: int = EPOCHS) -> Any:
    """Train as one would by hand: frozen weights, and the whole network in every step."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = HyperAlexNetModule(
            2, weights=None, freeze="all", image_size=images.shape[2:], context_seed=seed
        )
        network.backbone.channels_last = False  # torch's own layout
        data = TensorDataset(torch.from_numpy(images), torch.from_numpy(labels))
        loader = DataLoader(data, batch_size=BATCH, shuffle=True)
        learning = [weight for weight in network.parameters() if weight.requires_grad]
        optimizer = torch.optim.Adam(learning, lr=1e-4, fused=True)
        for _ in range(epochs):
            network.train()
            for batch, target in loader:
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(network(batch), target).backward()
                optimizer.step()
    return network.eval()


def probabilities(network: torch.nn.Module, images: np.ndarray) -> np.ndarray:
    """Predict batch by batch."""
    with torch.no_grad():
        logits = [network(batch) for batch in torch.from_numpy(images).split(BATCH)]
    return torch.softmax(torch.cat(logits).double(), dim=1).numpy()


def classifier(**options: Any) -> HyperAlexNetClassifier:
    """Return the estimator with the loop's settings."""
    return HyperAlexNetClassifier(
        backbone=Backbone("alexnet", weights=None, freeze="all"),
        loss=CrossEntropy(),
        max_epochs=options.pop("max_epochs", EPOCHS),
        batch_size=BATCH,
        device="cpu",
        random_state=SEED,
        **options,
    )


class WholeInEveryEpoch(Callback):
    """Train as if nothing were known of frozen backbones."""

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Let the network run whole."""
        net.skip_frozen = None


def seconds_of(function: Callable[[], Any], repeats: int = 1) -> float:
    """Return the shortest time of some calls."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def features_of(backbone: Backbone, images: np.ndarray) -> None:
    """Run the backbone once per image."""
    with torch.no_grad():
        for batch in torch.from_numpy(images).split(2 * BATCH):
            backbone(batch)


def parts_of_the_time(images: np.ndarray) -> list[tuple[str, str]]:
    """Time what a fit consists of, each alone."""
    network = HyperAlexNetModule(2, weights=None, freeze="all", image_size=images.shape[2:])
    build = seconds_of(lambda: HyperAlexNetModule(2, freeze="all", image_size=(224, 224)), 3)
    frozen = seconds_of(lambda: features_of(network.backbone, images), 2)
    features = torch.rand(BATCH, network.backbone.out_features)
    target = torch.arange(BATCH) % 2
    learning = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(learning, lr=1e-4, fused=True)

    def gradients() -> None:
        optimizer.zero_grad()
        outputs = network(features=features)
        torch.nn.functional.cross_entropy(outputs, target).backward()

    backward, step = seconds_of(gradients, 30), seconds_of(optimizer.step, 30)
    steps = EPOCHS * -(-len(images) // BATCH)
    million = sum(weight.numel() for weight in learning) / 1e6
    return [
        ("build the network", f"{build:.2f} s"),
        ("the backbone, each image once", f"{frozen:.2f} s"),
        (
            f"{steps} steps of the {million:.1f} million weights that learn, bare",
            f"{steps * (backward + step):.2f} s = {steps} × ({1e3 * backward:.1f} ms forward and "
            f"backward + {1e3 * step:.1f} ms Adam)",
        ),
    ]


def training(source: str, rounds: int) -> None:
    """Time 30 epochs."""
    images, labels = images_and_labels(source)
    # The estimator draws the seed of its training from random_state.
    seed = int(np.random.RandomState(SEED).randint(2**31 - 1))
    kept: dict[str, Any] = {}

    def loop() -> None:
        kept["loop"] = plain_loop(images, labels, seed)

    def off() -> None:
        kept["off"] = classifier(callbacks=[WholeInEveryEpoch()]).fit(images, labels)

    def ours() -> None:
        kept["ours"] = classifier().fit(images, labels)

    plain_loop(images, labels, seed, epochs=1)  # warm-up
    classifier(max_epochs=1).fit(images, labels)
    contestants = {"loop": loop, "off": off, "ours": ours}
    seconds = side_by_side.in_turns(contestants, rounds=rounds, warm_up=0)
    mine = kept["ours"].predict_proba(images)
    apart = {
        "loop": np.abs(mine - probabilities(kept["loop"], images)).max(),
        "off": np.abs(mine - kept["off"].predict_proba(images)).max(),
    }
    assert max(apart.values()) < 1e-5, apart
    assert np.ptp(mine[:, 1]) > 1e-3, "the probabilities do not differ between images"
    names = {
        "loop": "plain loop, the whole network in every step",
        "off": "estimator without the shortcut (channels last)",
    }
    times = {name: side_by_side.ratio(seconds, name, "ours") for name in names}
    rows = [
        (text, f"{seconds[name].median():.2f}", f"{times[name]:.1f}×", f"{apart[name]:.0e}")
        for name, text in names.items()
    ]
    rows.append(("estimator", f"{seconds['ours'].median():.2f}", "", ""))
    side_by_side.keep(
        "frozen_backbone_training",
        f"{EPOCHS} epochs of AlexNet on {len(images)} images ({source}), frozen whole, batches of "
        f"{BATCH}; medians of {rounds} rounds in turns. Target: at least {TARGET:.0f} times as "
        f"fast as the plain loop ({'met' if times['loop'] >= TARGET else 'missed'}), and the same "
        "probabilities to 1e-5.\n\n"
        + side_by_side.table(
            ["", "seconds", "times ours", "largest difference of a probability from ours"], rows
        )
        + "\n\nWhat the estimator's time consists of:\n\n"
        + side_by_side.table(["part", "alone"], parts_of_the_time(images)),
    )


def grid(source: str, rounds: int) -> None:
    """Time a search over the head."""
    images, labels = images_and_labels(source)
    settings = {
        "head": ["hyper", "dense"],
        "lr": [1e-4, 3e-4, 1e-3],
        "loss__label_smoothing": [0.0, 0.1],
    }
    passed = {"images": 0}

    def count(module: torch.nn.Module, arguments: Any) -> None:
        if isinstance(module, nn.Backbone):
            passed["images"] += len(arguments[0])

    torch.nn.modules.module.register_module_forward_pre_hook(count)
    rows, scores = [], []
    for cached in (False, True):
        passed["images"] = 0
        with tempfile.TemporaryDirectory() as folder:
            search = GridSearchCV(
                classifier(max_epochs=5, cache=folder if cached else None),
                settings,
                cv=StratifiedKFold(3),
                refit=False,
                scoring="neg_log_loss",
            )
            taken = seconds_of(lambda search=search: search.fit(images, labels))
        scores.append(search.cv_results_["mean_test_score"])
        rows.append(("a cache" if cached else "none", f"{taken:.1f}", str(passed["images"])))
    assert np.allclose(*scores, atol=1e-5), scores
    assert passed["images"] == len(images), passed
    side_by_side.keep(
        "frozen_backbone_grid",
        f"12 settings of a head × 3 folds, 5 epochs, on {len(images)} images ({source}); one run "
        "each, the same scores to 1e-5. Without a cache, prediction runs the whole network, "
        "too.\n\n" + side_by_side.table(["cache", "seconds", "images through the backbone"], rows),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["training", "grid"])
    parser.add_argument(
        "corpus", nargs="?", choices=["synthetic", "minsk2020"], default="synthetic"
    )
    parser.add_argument("rounds", nargs="?", type=int, default=5)
    chosen = parser.parse_args()
    torch.set_num_threads(side_by_side.THREADS)
    {"training": training, "grid": grid}[chosen.what](chosen.corpus, chosen.rounds)
