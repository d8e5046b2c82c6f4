"""What a signature vouches for: the files that were measured are the ones that lie in the run folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from export.errors import ArtifactError
from export.sidecar import sha256_of_file

if TYPE_CHECKING:
    from evaluate.verdict.report_folder import StoredReport


def require_unchanged_files(stored: StoredReport) -> None:
    """Refuses to sign for engines that are no longer those that were scored.

    A report folder without its run folder can be signed, too: it holds the digests.

    Raises:
        ArtifactError: An engine of the run folder has another digest than the report.
    """
    run = stored.folder.resolve().parent
    for variant in stored.record.variants:
        path, recorded = run / variant.file, variant.digests.get("engine")
        if recorded is None or not path.is_file():
            continue
        found = sha256_of_file(path)
        if found != recorded:
            raise ArtifactError(
                f"{path} is not the engine that was scored (sha256 {found[:12]}, report.json says {recorded[:12]}); "
                "evaluate it before you sign for it"
            )
