"""Readies the real peers of `make test-peers`: a llama.cpp server in an environment of its own, grpcurl, a server that speaks
MongoDB's protocol, and MinIO, which speaks that of S3. ffmpeg and sox, which hear what is spoken, come with the system.

The others are kept in the user's cache, so that a fresh clone finds them; in .peers/ where the cache can't be written. Standard
library only. `python -m tools.peers` readies all and prints where they are. Two calls at once take turns, and what an
interrupted call left is thrown away.
"""

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LLAMA_REQUIREMENTS = Path(__file__).with_name("peers-llama.txt")
MONGO_SOURCES = Path(__file__).with_name("peers-mongo")
GRPCURL_VERSION = "1.9.3"
GRPCURL_MODULE = "github.com/fullstorydev/grpcurl/cmd/grpcurl"
# Its releases are no versions that Go knows; this is the one of 12 February 2026.
MINIO_VERSION = "0.0.0-20260212201848-7aac2a2c5b7c"
MINIO_MODULE = "github.com/minio/minio"
# Switched off: what ties the build to this machine's processor, so that a cache may move to another, and what a tiny model
# does not need.
LLAMA_OPTIONS = (
    "GGML_NATIVE",
    "GGML_AVX",
    "GGML_AVX2",
    "GGML_BLAS",
    "GGML_BMI2",
    "GGML_F16C",
    "GGML_FMA",
    "GGML_METAL",
    "GGML_OPENMP",
    "MTMD_BUILD",
)
LOG_LINES = 30

Say = Callable[[str], None]


class PeerMissing(Exception):
    """The peer is not here and can't be made here; says why and what to do."""


def llama_python(say: Say) -> Path:
    """The Python that runs `-m llama_cpp.server`. Built from source where it is not cached: that takes a few minutes.

    `say` is told when that begins. Raises PeerMissing.
    """
    requirements = LLAMA_REQUIREMENTS.read_bytes()
    digest = hashlib.sha256(requirements + " ".join(LLAMA_OPTIONS).encode()).hexdigest()[:12]
    folder = cache() / f"llama-{sys.implementation.cache_tag}-{platform.machine()}-{digest}"
    python = folder / "bin" / "python"

    def build() -> None:
        compilers = (os.environ.get("CXX", ""), "c++", "g++", "clang++")
        if not any(compiler and shutil.which(compiler.split()[0]) for compiler in compilers):
            raise PeerMissing("llama.cpp is built from source, and there is no C++ compiler: install g++")
        say("Building the llama.cpp server; with a cold cache that takes about six minutes …")
        options = " ".join(f"-D{option}=OFF" for option in LLAMA_OPTIONS)
        environment = {**os.environ, "PIP_USER": "0", "CMAKE_ARGS": options}
        environment.setdefault("CMAKE_BUILD_PARALLEL_LEVEL", str(os.cpu_count() or 1))
        _run("llama.cpp", [sys.executable, "-m", "venv", str(folder)])
        install = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "-r"]
        _run("llama.cpp", [*install, str(LLAMA_REQUIREMENTS)], environment)

    _made_once(folder, build, lambda: _works([str(python), "-c", "import llama_cpp.server"]))
    return python


def grpcurl(say: Say) -> Path:
    """grpcurl: that of the path or of Go's programs, else one that Go installs into the cache. Raises PeerMissing."""
    found = shutil.which("grpcurl") or shutil.which("grpcurl", path=_go_programs())
    if found:
        return Path(found)
    return _go_program("grpcurl", GRPCURL_MODULE, GRPCURL_VERSION, "-version", say)


def minio(say: Say) -> Path:
    """MinIO: that of the path, else one that Go builds into the cache. Raises PeerMissing."""
    found = shutil.which("minio")
    return Path(found) if found else _go_program("minio", MINIO_MODULE, MINIO_VERSION, "--version", say)


def mongo(say: Say) -> list[str]:
    """The command that runs the server of tools/peers-mongo, but for its arguments. Raises PeerMissing."""
    sources = [MONGO_SOURCES / name for name in ("pom.xml", "MongoPeer.java")]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]
    folder = cache() / f"mongo-{digest}"
    java = shutil.which("java")
    if java is None:
        raise PeerMissing(
            "the MongoDB peer is a Java program, and there is no Java: install a JDK, 17 or later"
        )
    libraries = folder / "lib" / "*"
    command = [java, "-Xmx512m", "-XX:+UseSerialGC", "-cp", f"{folder / 'classes'}{os.pathsep}{libraries}"]

    def build() -> None:
        for program in ("mvn", "javac"):
            if not shutil.which(program):
                raise PeerMissing(
                    f"the MongoDB peer is built with Maven and a JDK, and there is no {program}"
                )
        say("Building the MongoDB peer; the first time that takes a minute …")
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={folder / 'lib'}"]
        _run("the MongoDB peer", ["mvn", "-B", "-q", "-f", str(sources[0]), *goal])
        classes = ["-d", str(folder / "classes"), "-cp", str(libraries)]
        _run("the MongoDB peer", ["javac", *classes, str(sources[1])])

    _made_once(folder, build, lambda: (folder / "classes" / "MongoPeer.class").exists())
    return [*command, "MongoPeer"]


def ffmpeg(say: Say) -> Path:
    """ffmpeg, of the path alone. Raises PeerMissing."""
    return _installed("ffmpeg", "ffmpeg")


def sox(say: Say) -> Path:
    """sox, of the path alone. Raises PeerMissing, also when it can't read MP3."""
    found = _installed("sox", "sox libsox-fmt-all")
    told = subprocess.run([str(found), "--help"], capture_output=True, text=True, check=False, timeout=60)
    if " mp3 " not in told.stdout:
        raise PeerMissing("sox is installed without MP3: with Debian, install libsox-fmt-all")
    return found


def cache() -> Path:
    """The folder of all peers: in the user's cache, else in the checkout."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(base) if base and Path(base).is_absolute() else Path("~/.cache").expanduser()
    for folder in (home / "antiphon" / "peers", ROOT / ".peers"):
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK | os.X_OK):
                return folder
    raise PeerMissing(f"neither {home} nor {ROOT} can be written, so peers have no place to be kept")


def _installed(name: str, packages: str) -> Path:
    """A program that comes with the system."""
    found = shutil.which(name)
    if found is None:
        raise PeerMissing(f"{name} is not installed: with Debian, install {packages}")
    return Path(found)


def _go_program(name: str, module: str, version: str, shows_version: str, say: Say) -> Path:
    """A program that Go builds into the cache. `shows_version` is the option that makes it show its version, and end."""
    folder = cache() / f"{name}-{version}-{platform.machine()}"
    program = folder / name

    def build() -> None:
        if not shutil.which("go"):
            raise PeerMissing(
                f"{name} is not installed, and there is no Go to install it with: install either"
            )
        say(f"Installing {name}; the first time that takes a minute or two …")
        # Whoever compiles for another system wants this program for their own.
        environment = {key: text for key, text in os.environ.items() if key not in ("GOOS", "GOARCH")}
        _run(
            name,
            ["go", "install", f"{module}@v{version}"],
            {**environment, "GOBIN": str(folder), "GOFLAGS": ""},
        )

    _made_once(folder, build, lambda: _works([str(program), shows_version]))
    return program


def _go_programs() -> str:
    if not shutil.which("go"):
        return ""
    told = subprocess.run(["go", "env", "GOBIN", "GOPATH"], capture_output=True, text=True, check=False)
    gobin, _, gopath = told.stdout.strip().partition("\n")
    folders = [gobin, *(str(Path(path) / "bin") for path in gopath.split(os.pathsep) if path)]
    return os.pathsep.join(folder for folder in folders if folder)


def _made_once(folder: Path, build: Callable[[], None], works: Callable[[], bool]) -> None:
    """Builds what belongs in the folder, unless it is there and works."""
    with _locked(folder.with_name(f"{folder.name}.lock")):
        ready = folder / "ready"
        if ready.exists() and works():
            return
        shutil.rmtree(folder, ignore_errors=True)
        build()
        if not works():
            raise PeerMissing(f"what was built in {folder} does not run")
        ready.touch()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _works(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _run(peer: str, command: list[str], environment: dict[str, str] | None = None) -> None:
    """Run a step of a build; raises PeerMissing with the end of what it said."""
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-LOG_LINES:])
        raise PeerMissing(f"{peer} could not be built: {' '.join(command)} ended with\n{tail}")


def main() -> None:
    missing = False
    peers: dict[str, Callable[[Say], object]] = {
        "llama.cpp": llama_python,
        "grpcurl": grpcurl,
        "MongoDB": mongo,
        "MinIO": minio,
        "ffmpeg": ffmpeg,
        "sox": sox,
    }
    for name, make in peers.items():
        try:
            print(f"{name}: {make(lambda text: print(text, file=sys.stderr, flush=True))}")
        except PeerMissing as error:
            missing = True
            print(f"{name} is missing: {error}", file=sys.stderr)
    sys.exit(1 if missing else 0)


if __name__ == "__main__":
    main()
