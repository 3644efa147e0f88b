"""Decoding: the plain way where it is right, half size where it is large, errors by key."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from dm_jax.data.image_decoding import DamagedImageError, resized_crop

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")


def encoded(pixels: np.ndarray, kind: str, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def smooth(height, width):
    """A picture with a gradient of its own in each channel and each direction."""
    rows, columns = np.mgrid[:height, :width]
    red, green = 255 * rows / height, 255 * columns / width
    return np.stack([red, green, 255 - red], axis=-1).astype(np.uint8)


def test_an_image_of_the_right_size_is_only_cropped():
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    cropped = resized_crop(encoded(pixels, "PNG"), "k", resize=16, crop=12, row=1, column=3)
    np.testing.assert_array_equal(cropped, pixels[1:13, 3:15])


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("size", [(13, 31), (40, 25), (64, 80), (200, 300)])
def test_scaling_keeps_the_picture(kind, size):
    file = encoded(smooth(*size), kind)
    cropped = resized_crop(file, "k", resize=32, crop=24, row=5, column=2)
    expected = smooth(32, 32)[5:29, 2:26]
    assert np.abs(cropped.astype(int) - expected).max() <= 20


def test_a_jpeg_is_decoded_as_pillow_does():
    pixels = smooth(48, 48)
    file = encoded(pixels, "JPEG")
    plain = np.asarray(Image.open(io.BytesIO(file)))
    ours = resized_crop(file, "k", resize=48, crop=48, row=0, column=0)
    assert np.abs(ours.astype(int) - plain).max() <= 3


def test_an_image_is_as_its_pixels_are_stored_whatever_its_exif_says():
    """As Caffe and TFDS decode it: a photograph that lies on its side stays so."""
    turned = Image.Exif()
    turned[0x0112] = 6  # orientation: to be shown turned by a quarter
    plain, marked = io.BytesIO(), io.BytesIO()
    Image.fromarray(smooth(40, 40)).save(plain, "JPEG")
    Image.fromarray(smooth(40, 40)).save(marked, "JPEG", exif=turned)
    crop = {"resize": 40, "crop": 40, "row": 0, "column": 0}
    np.testing.assert_array_equal(
        resized_crop(marked.getvalue(), "k", **crop), resized_crop(plain.getvalue(), "k", **crop)
    )


def test_a_large_jpeg_does_not_alias():
    """Stripes one pixel wide become grey where every second pixel would be black or white."""
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    ours = resized_crop(encoded(stripes, "JPEG"), "k", resize=32, crop=32, row=0, column=0)
    assert np.abs(ours.astype(int) - 127).max() <= 12


def noise(height, width):
    """A picture whose pixels are not those of its neighbours."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_of_twice_the_size_is_decoded_at_half_of_it(progressive):
    """As libjpeg scales, through Pillow's draft, which is not the mean of four pixels."""
    file = encoded(noise(64, 64), "JPEG", progressive=progressive)
    half = Image.open(io.BytesIO(file))
    half.draft("RGB", (32, 32))
    ours = resized_crop(file, "k", resize=32, crop=24, row=5, column=2)
    assert half.size == (32, 32)
    assert np.abs(ours.astype(int) - np.asarray(half)[5:29, 2:26]).max() <= 3


@pytest.mark.parametrize("size", [(40, 80), (80, 40), (63, 63)])
def test_a_jpeg_with_a_smaller_side_is_decoded_whole(size):
    file = encoded(noise(*size), "JPEG")
    whole = np.asarray(Image.open(io.BytesIO(file)))
    scaled = cv2.resize(whole, (32, 32), interpolation=cv2.INTER_LINEAR)
    ours = resized_crop(file, "k", resize=32, crop=16, row=5, column=2)
    assert np.abs(ours.astype(int) - scaled[5:21, 2:18]).max() <= 3


def test_grey_images_become_rgb():
    file = encoded(smooth(20, 20)[..., 0], "PNG")
    assert resized_crop(file, "k", resize=8, crop=8, row=0, column=0).shape == (8, 8, 3)


def test_a_header_that_claims_a_huge_size_is_damage():
    file = bytearray(encoded(smooth(20, 20), "PNG"))
    file[16:24] = struct.pack(">II", 100_000, 100_000)
    file[29:33] = struct.pack(">I", zlib.crc32(file[12:29]))
    with pytest.raises(DamagedImageError, match="image 'k' cannot be decoded"):
        resized_crop(bytes(file), "k", resize=8, crop=8, row=0, column=0)


@pytest.mark.parametrize("content", ["half", "one byte short", "empty", "text"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_damaged_image_is_named(kind, content):
    whole = encoded(smooth(50, 60), kind)
    image = {
        "half": whole[: len(whole) // 2],
        "one byte short": whole[:-1],
        "empty": b"",
        "text": b"no image",
    }[content]
    with pytest.raises(DamagedImageError, match=r"image 'shelf/7\.jpg' cannot be decoded"):
        resized_crop(image, "shelf/7.jpg", resize=8, crop=8, row=0, column=0)
