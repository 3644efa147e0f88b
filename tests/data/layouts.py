"""Generated photographs and frames in exactly the layouts of Clothing1M's and MARS' authors."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image
from scipy.io import savemat

# A tracklet: person, camera, frames.
Tracklet = tuple[int, int, int]


def write_clothing1m(root: pathlib.Path, lists: Mapping[str, int]) -> pathlib.Path:
    """Photographs by key list; number i has the label i % 14, and i + 1 among the noisy ones.

    Photograph i is 9 i % 256 all over.
    """
    number, labels = 0, {"noisy_label_kv.txt": [], "clean_label_kv.txt": []}
    for file, count in lists.items():
        keys = []
        for _ in range(count):
            key = f"images/{number % 3}/{number:02d}/{number}{number},{number * 7}.jpg"
            (root / key).parent.mkdir(parents=True, exist_ok=True)
            pixels = np.full((20, 16 + number, 3), 9 * number % 256, np.uint8)
            Image.fromarray(pixels).save(root / key)
            noisy = file.startswith("noisy")
            labels[f"{file.split('_')[0]}_label_kv.txt"].append(f"{key} {(number + noisy) % 14}\n")
            keys.append(f"{key}\n")
            number += 1
        (root / file).write_text("".join(keys))
    for file, lines in labels.items():
        (root / file).write_text("".join(lines))
    return root


def write_mars(
    root: pathlib.Path, train: Sequence[Tracklet], test: Sequence[Tracklet], queries: Sequence[int]
) -> pathlib.Path:
    """Frames of the tracklets, frame i of a split 20 i % 256 all over; queries count from 1."""
    (root / "info").mkdir(parents=True)
    for split, rows in (("train", train), ("test", test)):
        info, last = [], 0
        for number, (person, camera, frames) in enumerate(rows, start=1):
            folder = "00-1" if person < 0 else f"{person:04d}"
            (root / f"bbox_{split}" / folder).mkdir(parents=True, exist_ok=True)
            for frame in range(1, frames + 1):
                name = f"{folder}C{camera}T{number:04d}F{frame:03d}.jpg"
                pixels = np.full((16, 8, 3), 20 * (last + frame) % 256, np.uint8)
                Image.fromarray(pixels).save(root / f"bbox_{split}" / folder / name)
            info.append([last + 1, last + frames, person, camera])
            last += frames
        savemat(root / f"info/tracks_{split}_info.mat", {f"track_{split}_info": np.array(info)})
    savemat(root / "info/query_IDX.mat", {"query_IDX": np.array([queries], np.uint16)})
    return root
