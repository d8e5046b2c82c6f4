from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from demo.camera import Camera, camera_from_seed, exposed, jpeg_bytes
from demo.face_swap import Forgery, forgery_from_seed, manipulation_mask, severity_from_seed, swapped
from demo.identity import LONG_STYLES, SHORT_STYLES, identity_from_seed
from demo.portrait import portrait_from_identity, video_frames
from demo.texture import band_noise, disc, painted, power_law_noise

SIZE = 96


def drawn(person: int, scene: int) -> np.ndarray:
    return portrait_from_identity(identity_from_seed(person), video_frames(scene, 1)[0], SIZE).pixels


def test_the_same_seeds_draw_the_same_picture() -> None:
    np.testing.assert_array_equal(drawn(3, 5), drawn(3, 5))


@pytest.mark.parametrize(("person", "scene"), [(4, 5), (3, 6)])
def test_other_seeds_draw_another(person: int, scene: int) -> None:
    assert np.abs(drawn(person, scene) - drawn(3, 5)).mean() > 0.02


def test_pictures_are_rgb_in_range() -> None:
    pixels = drawn(1, 1)
    assert pixels.shape == (SIZE, SIZE, 3)
    assert pixels.dtype == np.float32
    assert pixels.min() >= 0
    assert pixels.max() <= 1


def test_every_hair_style_occurs_and_draws() -> None:
    styles = {identity_from_seed(seed).hair_style: seed for seed in range(60)}
    assert set(styles) == set(SHORT_STYLES) | set(LONG_STYLES)
    for seed in styles.values():
        assert np.isfinite(drawn(seed, 0)).all()


def test_frames_of_a_video_differ_less_than_videos() -> None:
    person = identity_from_seed(2)
    first, second = (portrait_from_identity(person, frame, SIZE).pixels for frame in video_frames(7, 2))
    assert 0 < np.abs(first - second).mean() < np.abs(first - drawn(2, 8)).mean()


def test_background_noise_has_the_spectrum_it_is_named_after() -> None:
    """The log-log slope of the radially averaged amplitude is minus the exponent."""
    size = 256
    spectrum = np.mean([np.abs(np.fft.fft2(power_law_noise(np.random.default_rng(s), size, 1.0))) for s in range(8)], 0)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None, :])
    inside = (frequency > 0.02) & (frequency < 0.4)
    slope = np.polyfit(np.log(frequency[inside]), np.log(spectrum[inside]), 1)[0]
    assert slope == pytest.approx(-1.0, abs=0.05)


@pytest.mark.parametrize("centre", [0.1, 0.25])
def test_band_noise_peaks_at_its_frequency(centre: float) -> None:
    size = 128
    power = np.mean(
        [np.abs(np.fft.rfft2(band_noise(np.random.default_rng(s), size, centre, 0.3))) ** 2 for s in range(4)], 0
    )
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    assert np.average(frequency, weights=power) == pytest.approx(centre, rel=0.15)


def test_disc_covers_the_area_of_its_ellipse() -> None:
    steps = (np.arange(400, dtype=np.float32) + 0.5) / 200 - 1
    x, y = np.meshgrid(steps, steps)
    assert disc(x, y, 0.5, 0.3, 2, 0.01).mean() * 4 == pytest.approx(np.pi * 0.15, rel=0.02)


def test_paint_changes_only_what_the_mask_covers() -> None:
    rng = np.random.default_rng(0)
    canvas = rng.random((20, 20, 3)).astype(np.float32)
    mask = np.zeros((20, 20), np.float32)
    mask[5:9, 7:8] = 0.5
    colour = np.array([1.0, 0.0, 0.25], np.float32)
    expected = canvas * (1 - 0.8 * mask[..., None]) + 0.8 * mask[..., None] * colour
    np.testing.assert_allclose(painted(canvas, colour, mask, 0.8), expected, atol=1e-6)
    np.testing.assert_array_equal(painted(canvas, colour, np.zeros((20, 20), np.float32)), canvas)


def test_sensor_noise_grows_with_light_as_declared() -> None:
    camera = Camera(blur=0.5, shot_noise=0.04, read_noise=0.01, quality=90)
    for level in (0.1, 0.6):
        seen = exposed(np.full((200, 200, 3), level, np.float32), camera, np.random.default_rng(1))
        assert seen.std() == pytest.approx(np.sqrt(0.01**2 + 0.04**2 * level), rel=0.03)
        assert seen.mean() == pytest.approx(level, abs=1e-3)


def test_jpeg_decodes_to_nearly_the_same() -> None:
    pixels = drawn(1, 2)
    decoded = np.asarray(Image.open(io.BytesIO(jpeg_bytes(pixels, 95))), np.float32) / 255
    assert np.abs(decoded - pixels).mean() < 0.02


def forged(seed: int, severity: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    frame = video_frames(seed, 1)[0]
    rng = np.random.default_rng(seed)
    portrait = portrait_from_identity(identity_from_seed(2 * seed), frame, SIZE)
    target = exposed(portrait.pixels, camera_from_seed(seed), rng)
    source = exposed(
        portrait_from_identity(identity_from_seed(2 * seed + 1), frame, SIZE).pixels, camera_from_seed(seed + 1), rng
    )
    fake, mask = swapped(target, source, portrait, forgery_from_seed(seed, severity), rng)
    return target, fake, mask


@pytest.mark.parametrize("seed", range(4))
def test_swap_changes_nothing_outside_its_mask(seed: int) -> None:
    target, fake, mask = forged(seed, 0.7)
    np.testing.assert_array_equal(fake[mask == 0], target[mask == 0])
    assert np.abs(fake - target)[mask > 0.9 * mask.max()].mean() > 0.001
    assert 0.1 < (mask > 0).mean() < 0.6
    assert mask.max() <= 1


def test_mask_lies_on_the_inner_face() -> None:
    frame = video_frames(3, 1)[0]
    portrait = portrait_from_identity(identity_from_seed(3), frame, SIZE)
    mask = manipulation_mask(portrait, forgery_from_seed(3, 0.5), np.random.default_rng(0))
    weight = mask / mask.sum()
    assert abs(float((weight * portrait.u).sum())) < 0.06
    assert abs(float((weight * portrait.v).sum()) - 0.06) < 0.06
    assert mask[np.abs(portrait.u) > 0.6].max() == 0


def test_severity_scales_the_flaws() -> None:
    mild, gross = forgery_from_seed(5, 0.1), forgery_from_seed(5, 1.0)
    assert gross.detail < mild.detail < 1
    assert gross.colour_match < mild.colour_match < 1
    assert np.hypot(*gross.shift) == pytest.approx(10 * np.hypot(*mild.shift))
    assert isinstance(mild, Forgery)


def test_severity_is_spread_evenly() -> None:
    draws = [severity_from_seed(seed, 0.9, 0.1) for seed in range(400)]
    assert np.histogram(draws, bins=4, range=(0.1, 0.9))[0].min() > 70
