"""The size of each package in the artifact."""

from __future__ import annotations

import io
import zipfile
from collections import Counter


def packages(zipped: bytes) -> list[tuple[str, int, int]]:
    """Return each package of an artifact with its metadata, and its bytes zipped and unzipped, the largest first."""
    zipped_bytes, unzipped_bytes = Counter[str](), Counter[str]()
    with zipfile.ZipFile(io.BytesIO(zipped)) as archive:
        for entry in archive.infolist():
            top = entry.filename.partition("/")[0].removesuffix(".py")
            package = top.partition("-")[0] if top.endswith(".dist-info") else top
            zipped_bytes[package] += entry.compress_size
            unzipped_bytes[package] += entry.file_size
    return [(package, zipped_bytes[package], size) for package, size in unzipped_bytes.most_common()]
