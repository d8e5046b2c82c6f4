"""Drawn videos laid out and named as Celeb-DF-v2, in three splits that share no person.

data/test/Celeb-real/id32_0001/000.jpg         data/test/List_of_testing_videos.txt
data/test/YouTube-real/00047/000.jpg           data/test/dataset.json
data/test/Celeb-synthesis/id37_id3_0000/000.jpg
data/test/masks/Celeb-synthesis/id37_id3_0000/000.png   what the swap changed, and how much
"""

from __future__ import annotations

import io
import multiprocessing
import shutil
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from calibration.datasets.celeb_df import LIST_NAME, samples_from_celeb_df
from demo.camera import camera_from_seed, exposed, jpeg_bytes
from demo.face_swap import forgery_from_seed, severity_from_seed, swapped
from demo.identity import identity_from_seed
from demo.portrait import portrait_from_identity, video_frames
from export.concurrency import processors_at_hand
from export.errors import DataError
from export.progress import progress_bar
from export.sidecar import read_json, write_json

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from calibration.samples import SampleSet

Split = Literal["train", "calibration", "test"]

FRAME_SIZE = 160
_VERSION = 1
_MODULUS = 1 << 31


@dataclass(frozen=True)
class SplitPlan:
    """How many videos a split has, and whose.

    Attributes:
        split: Its name.
        seed: Seed of the whole data set.
        celeb_real: Real videos of celebrities, two of each.
        youtube_real: Real videos of other people, one of each.
        celeb_synthesis: Face swaps between the celebrities.
        frames: Frames per video.
        first_identity: Number of its first celebrity; splits do not overlap.
        first_youtube: Number of its first other person.
        hardest: Severity of the least visible forgery, 0 to 1.
        easiest: Severity of the most visible one.
    """

    split: Split
    seed: int
    celeb_real: int
    youtube_real: int
    celeb_synthesis: int
    frames: int
    first_identity: int
    first_youtube: int
    hardest: float = 0.0
    easiest: float = 0.55


@dataclass(frozen=True)
class DrawnVideo:
    """One video to draw.

    Attributes:
        name: `folder/name`.
        person: Seed of the person whose head it is.
        other: Seed of the person whose face is pasted in; None for a real video.
        scene: Seed of the target video, which a fake shares with the real video it was made from.
        fake: Seed of the forgery.
    """

    name: str
    person: int
    other: int | None
    scene: int
    fake: int


def plan_of_split(split: Split, seed: int, test_videos: int) -> SplitPlan:
    """Returns the plan of a split for a data set with about `test_videos` test videos.

    518 test videos give 340 fakes and 178 reals, as many as Celeb-DF-v2's list of testing videos has; other numbers
    keep the proportions.
    """
    share = test_videos / 518
    counts = {"test": (108, 70, 340, 2), "calibration": (48, 24, 88, 2), "train": (440, 130, 570, 2)}[split]
    real, youtube, fake = (max(4, round(count * share)) for count in counts[:3])
    # Celebrities come in twos (target and source of a swap), and two real videos show each of them.
    first_identity = {"test": 0, "calibration": 1000, "train": 2000}[split]
    first_youtube = {"test": 0, "calibration": 20000, "train": 40000}[split]
    return SplitPlan(split, seed, real, youtube, fake, counts[3], first_identity, first_youtube)


def videos_of_plan(plan: SplitPlan) -> tuple[DrawnVideo, ...]:
    """Lists the videos of a split; equal plans give equal lists."""
    rng = np.random.default_rng([plan.seed, plan.first_identity])
    people = plan.first_identity + np.arange(-(-plan.celeb_real // 2))
    numbers = plan.first_youtube + np.sort(rng.choice(4 * plan.youtube_real, plan.youtube_real, replace=False))
    real = [
        DrawnVideo(f"Celeb-real/id{a}_{k:04d}", _seed(plan, a), None, _seed(plan, a, k), 0)
        for a, k in ((int(people[i // 2]), i % 2) for i in range(plan.celeb_real))
    ]
    other = [
        DrawnVideo(f"YouTube-real/{n:05d}", _seed(plan, n, 10), None, _seed(plan, n, 11), 0) for n in map(int, numbers)
    ]
    return (*real, *other, *_swaps(plan, people, rng))


def make_split(root: Path, plan: SplitPlan, workers: int = 2) -> SampleSet:
    """Draws a split, or reuses the one that is there.

    The split is drawn under another name and renamed when it is complete, so what bears its name is whole.

    Raises:
        DataError: The folder was drawn by the same plan but changed afterwards.
    """
    folder = root / plan.split
    record = {"version": _VERSION, "plan": asdict(plan), "frame_size": FRAME_SIZE}
    if (folder / "dataset.json").is_file():
        stored = read_json(folder / "dataset.json")
        if isinstance(stored, dict) and stored.get("made_from") == record:
            samples = samples_from_celeb_df(folder)
            if samples.sha256 != stored.get("sha256"):
                raise DataError(f"{folder} was changed after it was drawn; delete it to have it drawn again")
            return samples
    partial_folder = root / f"{plan.split}.partial"
    shutil.rmtree(partial_folder, ignore_errors=True)
    videos = videos_of_plan(plan)
    _draw_all(partial_folder, plan, videos, workers)
    if plan.split == "test":
        lines = [f"{int(video.other is None)} {video.name}.mp4\n" for video in videos]
        (partial_folder / LIST_NAME).write_text("".join(sorted(lines)), encoding="utf-8")
    digest = samples_from_celeb_df(partial_folder).sha256
    write_json(partial_folder / "dataset.json", {"made_from": record, "sha256": digest})
    (folder / "dataset.json").unlink(missing_ok=True)  # first, so that a kill leaves nothing that looks complete
    shutil.rmtree(folder, ignore_errors=True)
    partial_folder.rename(folder)
    return samples_from_celeb_df(folder)


def draw_video(folder: Path, plan: SplitPlan, video: DrawnVideo) -> None:
    """Draws every frame of a video, and the masks of a fake one."""
    for index, frame in enumerate(video_frames(video.scene, plan.frames)):
        # A fake starts from the very frame that the real video has, camera noise included.
        rng = np.random.default_rng([video.scene, index])
        camera = camera_from_seed(video.scene)
        target = portrait_from_identity(identity_from_seed(video.person), frame, FRAME_SIZE)
        pixels, mask = exposed(target.pixels, camera, rng), None
        if video.other is not None:
            source = portrait_from_identity(identity_from_seed(video.other), frame, FRAME_SIZE)
            rng = np.random.default_rng([video.fake, index])
            seen = exposed(source.pixels, camera_from_seed(video.fake), rng)
            forgery = forgery_from_seed(video.fake, severity_from_seed(video.fake, plan.easiest, plan.hardest))
            pixels, mask = swapped(pixels, seen, target, forgery, rng)
        _write(folder / video.name / f"{index:03d}.jpg", jpeg_bytes(pixels, camera.quality))
        if mask is not None:
            _write(folder / "masks" / video.name / f"{index:03d}.png", _png_bytes(mask))


def _draw_all(folder: Path, plan: SplitPlan, videos: tuple[DrawnVideo, ...], workers: int) -> None:
    draw = partial(draw_video, folder, plan)
    context = multiprocessing.get_context("spawn")  # forking a process that has loaded torch may hang it
    with ProcessPoolExecutor(
        min(workers, processors_at_hand()),
        mp_context=context,
        # Ctrl-C reaches every process of a terminal; only this one shall speak of it.
        initializer=_ignore_interrupts,
    ) as pool:
        try:
            finished = pool.map(draw, videos, chunksize=4)
            for _ in progress_bar(finished, f"drawing {plan.split}", len(videos), "video"):
                pass
        except BrokenProcessPool:
            raise DataError(
                "a drawing process was killed, probably for lack of memory; run the command again"
            ) from None
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _swaps(plan: SplitPlan, people: NDArray[np.int64], rng: np.random.Generator) -> list[DrawnVideo]:
    pairs = [(a, b) for a in range(len(people)) for b in range(len(people)) if a != b]
    chosen = rng.permutation(len(pairs))[: -(-plan.celeb_synthesis // 2)]
    videos = []
    for index in range(plan.celeb_synthesis):
        again, position = divmod(index // 2, len(chosen))
        a, b = (int(people[i]) for i in pairs[chosen[position]])
        k = index % 2 + 2 * again
        name = f"Celeb-synthesis/id{a}_id{b}_{k:04d}"
        videos.append(DrawnVideo(name, _seed(plan, a), _seed(plan, b), _seed(plan, a, k), _seed(plan, a, b, k)))
    return videos


def _seed(plan: SplitPlan, *parts: int) -> int:
    state = np.random.SeedSequence([plan.seed, *parts]).generate_state(1)
    return int(state[0]) % _MODULUS


def _png_bytes(mask: NDArray[np.float32]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.rint(mask * 255).astype(np.uint8)).save(stream, format="PNG")
    return stream.getvalue()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
