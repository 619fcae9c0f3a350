"""Pictures that lie on this machine, of which a catalogue says where."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ml.contract.errors import ContractError
from ml.dataset import pictures
from ml.dataset.pictures import FORMATS, MAX_PIXELS, SIDE, PictureFolder, Pixels, Unusable, pixels_of
from tests.pictures import BLUE, RED, claiming, picture, saved

WHITE = (255, 255, 255)


def pixels(content: bytes) -> Pixels:
    found = pixels_of(content)
    assert not isinstance(found, Unusable)
    return found


@pytest.mark.parametrize("kind", FORMATS)
def test_a_picture_of_each_format_becomes_a_square_of_its_colours(kind: str):
    found = pixels(picture(RED, kind=kind, size=(40, 10)))
    assert (found.shape, found.dtype) == ((SIDE, SIDE, 3), np.uint8)
    np.testing.assert_allclose(found.reshape(-1, 3), np.tile(RED, (SIDE**2, 1)), atol=3)  # JPEG and WebP lose a little


@pytest.mark.parametrize(
    ("mode", "colour", "seen"),
    [
        ("RGBA", (0, 0, 255, 0), WHITE),
        ("RGBA", (0, 0, 255, 255), BLUE),
        ("LA", (0, 0), WHITE),
        ("L", 128, (128, 128, 128)),
        ("1", 1, WHITE),
    ],
)
def test_what_is_transparent_is_white_and_what_is_grey_stays_so(mode: str, colour: object, seen: tuple[int, ...]):
    assert pixels(picture(colour, mode=mode))[7, 9].tolist() == list(seen)


def test_a_picture_stands_upright_as_its_camera_says():
    halves = Image.new("RGB", (64, 64), RED)
    halves.paste(BLUE, (32, 0, 64, 64))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    plain, turned = (pixels(saved(halves, "JPEG", **options)) for options in ({}, {"exif": exif}))
    np.testing.assert_allclose(plain[100, 20], RED, atol=5)
    np.testing.assert_allclose(turned[100, 20], BLUE, atol=5)


def test_of_several_frames_the_first_is_read():
    frames = [Image.new("RGB", (16, 16), colour) for colour in (BLUE, RED)]
    assert pixels(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))[0, 0].tolist() == list(BLUE)


def test_a_large_photograph_says_the_same_as_a_small_one():
    rng = np.random.default_rng(5)
    small = Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8))
    large, medium = (small.resize((side, side), Image.Resampling.BICUBIC) for side in (3_000, 450))
    difference = pixels(saved(large, "JPEG")).astype(int) - pixels(saved(medium, "JPEG"))
    assert np.abs(difference).mean() < 2


@pytest.mark.parametrize("side", [int(MAX_PIXELS**0.5) + 1, 10_000, 30_000])
def test_a_picture_of_too_many_pixels_is_not_decoded(side: int):
    assert pixels_of(claiming(side, side)) is Unusable.TOO_LARGE


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no picture",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        picture(kind="TIFF"),
        claiming(0, 0),
        *(picture(kind=kind, size=(90, 90))[:70] for kind in FORMATS),
    ],
)
def test_what_is_no_picture_or_only_its_beginning_is_unreadable(content: bytes):
    assert pixels_of(content) is Unusable.UNREADABLE


@pytest.mark.parametrize("kind", FORMATS)
def test_no_damage_to_a_file_stops_a_run(kind: str):
    rng = np.random.default_rng(FORMATS.index(kind))
    noise = Image.fromarray(rng.integers(0, 255, (20, 20, 4), np.uint8))
    whole = np.frombuffer(saved(noise if kind in ("PNG", "WEBP") else noise.convert("RGB"), kind), np.uint8)
    for _ in range(200):
        damaged = whole.copy()
        damaged[rng.integers(0, min(len(damaged), rng.choice([60, 100_000])), 4)] = rng.integers(0, 255, 4)
        found = pixels_of(damaged.tobytes())
        assert isinstance(found, Unusable) or found.shape == (SIDE, SIDE, 3)


@pytest.fixture
def folder(tmp_path: Path) -> PictureFolder:
    (tmp_path / "shop" / "cups").mkdir(parents=True)
    (tmp_path / "shop" / "cups" / "red.png").write_bytes(picture())
    (tmp_path / "secret.png").write_bytes(picture(BLUE))
    (tmp_path / "shop" / "within").symlink_to("cups")
    (tmp_path / "shop" / "without.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "shop" / "circle").symlink_to("circle")
    os.mkfifo(tmp_path / "shop" / "pipe")
    (tmp_path / "linked").symlink_to("shop")
    return PictureFolder.open(tmp_path / "linked")


def test_a_picture_is_found_by_its_path_in_the_folder(folder: PictureFolder):
    inside = (
        "cups/red.png",
        " cups/red.png ",
        "./cups/../cups/red.png",
        "within/red.png",
        f"{folder.path}/cups/red.png",
    )
    assert {folder.content(name) for name in inside} == {picture()}


@pytest.mark.parametrize("name", ["../secret.png", "cups/../../secret.png", "without.png", "/etc/passwd", "../nowhere"])
def test_nothing_outside_the_folder_is_read(folder: PictureFolder, name: str):
    assert folder.content(name) is Unusable.OUTSIDE


@pytest.mark.parametrize(
    "name", ["cups/blue.png", "cups", ".", "pipe", "circle", "a\0b", "x" * 5_000, "https://shop/cup.png"]
)
def test_what_is_no_file_is_missing(folder: PictureFolder, name: str):
    assert folder.content(name) is Unusable.MISSING


def test_a_file_of_too_many_bytes_is_not_read_to_its_end(folder: PictureFolder, monkeypatch: pytest.MonkeyPatch):
    size = len(picture())
    monkeypatch.setattr(pictures, "MAX_BYTES", size)
    assert folder.content("cups/red.png") == picture()
    monkeypatch.setattr(pictures, "MAX_BYTES", size - 1)
    assert folder.content("cups/red.png") is Unusable.TOO_LARGE


@pytest.mark.parametrize(("name", "state"), [("nowhere", "is not there"), ("secret.png", "is a file")])
def test_a_folder_of_pictures_that_is_none_is_refused(folder: PictureFolder, name: str, state: str):
    path = folder.path.parent / name
    with pytest.raises(
        ContractError, match=rf"lie in a folder.* Received: {re.escape(str(path))}, which {state}\. Name"
    ):
        PictureFolder.open(path)
