"""From an encoded image to the pixels that a network sees, by Pillow."""

import io

import numpy as np
from PIL import Image

_BILINEAR = Image.Resampling.BILINEAR


class DamagedImageError(ValueError):
    """An image that cannot be decoded; the message names its key."""


def resized_crop(
    image: bytes, key: str, *, resize: int, crop: int, row: int, column: int
) -> np.ndarray:
    """Scales an image to resize x resize, whatever its proportions, and crops from that.

    Only the crop is computed. A JPEG at least twice as large on both sides is decoded at half its
    size (or a quarter, an eighth), which is the faster part of scaling down.

    Args:
      image: an encoded file, JPEG or PNG.
      key: what an error calls it.
      resize: height and width after scaling.
      crop: height and width of the crop.
      row, column: top left corner of the crop in the scaled image.

    Returns:
      uint8 [crop, crop, 3].

    Raises:
      DamagedImageError: it is truncated or no image.
    """
    try:
        decoded = Image.open(io.BytesIO(image))
        decoded.draft("RGB", (resize, resize))
        pixels = decoded.convert("RGB")
    # SyntaxError is Pillow's word for a broken PNG.
    except (OSError, SyntaxError, ValueError) as error:
        raise DamagedImageError(f"image {key!r} cannot be decoded: {error}") from error
    across, down = pixels.width / resize, pixels.height / resize
    box = (column * across, row * down, (column + crop) * across, (row + crop) * down)
    return np.asarray(pixels.resize((crop, crop), _BILINEAR, box=box))
