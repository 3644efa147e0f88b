"""Decodes, scales and crops images with OpenCV.

With Pillow, scaling a photograph takes more than half as long as decoding it; with OpenCV, a tenth.
"""

import numpy as np

# JPEG segments that start a frame and hold its size (baseline, extended, progressive).
_FRAMES = (0xC0, 0xC1, 0xC2)


class DamagedImageError(ValueError):
    """An image that cannot be decoded; the message names its key."""


def resized_crop(
    image: bytes, key: str, *, resize: int, crop: int, row: int, column: int
) -> np.ndarray:
    """Scales an image to resize x resize, ignoring its aspect ratio, and crops the result.

    Interpolates bilinearly between the nearest pixels, as Caffe's tools do. A JPEG at least twice
    as large on both sides is decoded at half its size, which is faster and reduces aliasing.

    Args:
      image: an encoded file: JPEG, PNG, or another format that OpenCV reads.
      key: name of the image in errors.
      resize: height and width after scaling.
      crop: height and width of the crop.
      row, column: top left corner of the crop in the scaled image.

    Returns:
      uint8 [crop, crop, 3], RGB.

    Raises:
      DamagedImageError: it is truncated or not an image.
      ModuleNotFoundError: OpenCV is not installed.
    """
    cv2 = _opencv()
    height, width = _jpeg_size(image)
    half = min(height, width) >= 2 * resize
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    if half:
        # Together with IMREAD_COLOR_RGB this bit means "half size", not "grey".
        flags |= cv2.IMREAD_REDUCED_GRAYSCALE_2
    try:
        pixels = cv2.imdecode(np.frombuffer(image, np.uint8), flags) if image else None
    except cv2.error:  # of a header that claims a huge size
        pixels = None
    if pixels is None:
        raise DamagedImageError(
            f"image {key!r} cannot be decoded: its {len(image)} bytes are truncated or not an image"
        )
    scaled = cv2.resize(pixels, (resize, resize), interpolation=cv2.INTER_LINEAR)
    return scaled[row : row + crop, column : column + crop]


def _opencv():
    try:
        import cv2
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "streaming images needs OpenCV: pip install 'dm_jax[images]'"
        ) from error
    return cv2


def _jpeg_size(image: bytes) -> tuple[int, int]:
    """Height and width from the header of a JPEG; (0, 0) if there is none."""
    place = 2
    while image[place : place + 1] == b"\xff" and place + 9 <= len(image):
        if image[place + 1] in _FRAMES:
            size = image[place + 5 : place + 9]
            return int.from_bytes(size[:2]), int.from_bytes(size[2:])
        place += 2 + int.from_bytes(image[place + 2 : place + 4])
    return 0, 0
