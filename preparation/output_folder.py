"""The folder that `prepare-data` fills; what others put there is never touched.

OUT/<video>/<frame>.png     the crops; several of one frame are <frame>_0.png, the largest, <frame>_1.png, ...
OUT/manifest.csv            their labels; written when all are there
OUT/prepared.json           how they were made; written last
OUT/contact_sheet.jpg       a look at them
OUT/.prepared/              a record of each video, by which a later command goes on; crops that are being made
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

from calibration.datasets.prepared import MANIFEST_NAME, RECORD_NAME, WORK_FOLDER
from export.errors import DataError
from export.folder_lock import locked_folder
from export.sidecar import sha256_of_file, sha256_of_json
from preparation.video_record import read_record, write_record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from preparation.video_record import VideoRecord


class OutputFolder:
    """Paths of the folder, and what changes in it.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.manifest = root / MANIFEST_NAME
        self.record = root / RECORD_NAME
        self.sheet = root / "contact_sheet.jpg"
        self._work = root / WORK_FOLDER
        self._unfinished = self._work / "unfinished"

    def require_usable(self, source: Path) -> None:
        """Refuses a folder that is something else.

        Raises:
            DataError: It is a file, holds what this command did not make, or lies in the source or around it.
        """
        if self.root.exists() and not self.root.is_dir():
            raise DataError(f"{self.root} is a file; choose a folder for the faces")
        if self.root.is_dir() and not self._work.is_dir() and any(self.root.iterdir()):
            raise DataError(f"{self.root} holds something that prepare-data did not make; choose an empty folder")
        out, given = self.root.resolve(), source.resolve()
        if given == out or out in given.parents or (given.is_dir() and given in out.parents):
            raise DataError(f"{self.root} and {source} lie in each other; choose a folder outside of the data set")

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Holds the folder, and marks it as not complete until `finish`.

        Raises:
            ArtifactError: Another command works on it.
        """
        with locked_folder(self.root, self._work / "lock"):
            shutil.rmtree(self._unfinished, ignore_errors=True)  # of a command that was killed
            self._unfinished.mkdir()
            try:
                yield
            finally:
                shutil.rmtree(self._unfinished, ignore_errors=True)

    def mark_incomplete(self) -> None:
        """Removes what says that the folder is a data set."""
        self.record.unlink(missing_ok=True)
        self.manifest.unlink(missing_ok=True)

    def records(self) -> dict[str, VideoRecord]:
        """Returns video -> what an earlier command made of it."""
        found = (read_record(path) for path in sorted((self._work / "videos").glob("*.json")))
        return {record.video: record for record in found if record is not None}

    def is_intact(self, record: VideoRecord) -> bool:
        """Tells whether the crops of a video are there as they were made."""
        folder = self.root / record.folder
        return all(
            (folder / crop.file).is_file() and sha256_of_file(folder / crop.file) == crop.sha256
            for crop in record.crops
        )

    def empty_folder(self) -> Path:
        """Returns a new folder for crops that are being made."""
        return Path(mkdtemp(dir=self._unfinished))

    def take(self, record: VideoRecord, made: Path) -> None:
        """Puts a video's crops in their place, all at once; a kill in between has them made again.

        Args:
            record: What was made. It is written first, because only what a record names is ever removed.
            made: Folder of the crops.

        Raises:
            DataError: There is something else in that place.
        """
        old = read_record(self._path(record.video))
        if old is not None:
            self._remove(old)
        write_record(self._path(record.video), record)
        if not record.crops:
            return
        target = self.root / record.folder
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise DataError(f"{target} was not made by prepare-data and stands in the way; move it elsewhere")
        target.parent.mkdir(parents=True, exist_ok=True)
        made.chmod(0o755)
        made.replace(target)

    def remove(self, record: VideoRecord) -> None:
        """Removes a video's crops and its record, and folders that are empty then; not while others are being made."""
        self._remove(record)
        folder = (self.root / record.folder).parent
        while folder != self.root and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
            folder = folder.parent

    def _remove(self, record: VideoRecord) -> None:
        folder = self.root / record.folder
        for crop in record.crops:
            (folder / crop.file).unlink(missing_ok=True)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        self._path(record.video).unlink(missing_ok=True)

    def _path(self, video: str) -> Path:
        return self._work / "videos" / f"{sha256_of_json(video)[:32]}.json"
