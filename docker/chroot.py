"""Run a Dockerfile's steps without Docker, as root: python docker/chroot.py docker/runtime.Dockerfile ROOMS

Each stage is a clean Debian that debootstrap makes in a folder of ROOMS; its steps run there in a chroot. Known are
FROM, RUN, COPY, ENV, WORKDIR and USER; ENTRYPOINT and CMD are run at the end, in the last stage. What Docker isolates
besides (processes, network) is not.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

CONTEXT = Path(__file__).resolve().parent.parent
SYSTEM = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Stage:
    """A folder with a system in it, and what the steps so far have set."""

    def __init__(self, root: Path, release: str) -> None:
        self.root, self.folder, self.user = root, "/", "root"
        self.environment = [SYSTEM, *(f"{name}={os.environ[name]}" for name in PASSED if name in os.environ)]
        subprocess.run(["cp", "-a", clean(release, root.parent), root], check=True)
        for path in ("/etc/resolv.conf", "/etc/hosts", os.environ.get("PIP_CERT", "")):
            if os.path.isfile(path):
                copy(Path(path), root / path[1:])
        for device in ("null", "zero", "urandom"):  # of which debootstrap makes what it may
            if not (root / "dev" / device).exists():
                subprocess.run(["cp", "-a", f"/dev/{device}", root / "dev"], check=True)

    def run(self, *command: str) -> None:
        """Run a command inside."""
        inside = ["chroot", f"--userspec={self.user}", str(self.root), "env", "-i", *self.environment]
        script = f"cd {shlex.quote(self.folder)} && exec {shlex.join(command)}"
        subprocess.run([*inside, "/bin/sh", "-c", script], check=True)

    def copy_in(self, source: Path, target: str) -> None:
        """Copy a file or what is in a folder."""
        copy(source, self.root / os.path.join(self.folder, target).lstrip("/"))

    def enter(self, folder: str) -> None:
        """Make a folder the one that steps run in."""
        self.folder = folder
        (self.root / folder[1:]).mkdir(parents=True, exist_ok=True)


PASSED = ("http_proxy", "https_proxy", "no_proxy", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CERT")
"""What the machine's network may need, and a machine with Docker would not."""


def clean(release: str, rooms: Path) -> Path:
    """Make a clean system, once for all stages."""
    root = rooms / f"clean-{release}"
    if not root.exists():
        command = ["debootstrap", "--variant=minbase", release, str(root)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        slim(root)
    return root


LEFT_OUT = ("usr/share/doc", "usr/share/locale", "usr/share/man", "var/cache/apt", "var/lib/apt/lists")
"""What the images `debian:...-slim` do not hold, nor get with the packages that are installed later."""


def slim(root: Path) -> None:
    """Make a clean system as small as Debian's own slim image, and keep it so."""
    for name in LEFT_OUT:
        shutil.rmtree(root / name)
        (root / name).mkdir()
    (root / "etc/dpkg/dpkg.cfg.d/slim").write_text("".join(f"path-exclude /{name}/*\n" for name in LEFT_OUT[:3]))
    emptied = 'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb"; };\n'
    nothing = 'Dir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n'
    (root / "etc/apt/apt.conf.d/slim").write_text(emptied + nothing)


def copy(source: Path, target: Path) -> None:
    """Copy a file, or a folder without what .dockerignore leaves out."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_file():
        shutil.copyfile(source, target)
        return
    ignored = ignored_names() if source == CONTEXT else []
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*ignored))


def ignored_names() -> list[str]:
    """Return the names that the build does not see."""
    lines = (CONTEXT / ".dockerignore").read_text(encoding="utf-8").split()
    return [line.removeprefix("**/") for line in lines if not line.startswith("!")]


def steps(text: str) -> Iterator[tuple[str, str]]:
    """Yield each instruction and its words, long lines joined."""
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.M).replace("\\\n", " ")
    for line in filter(str.strip, text.splitlines()):
        instruction, _, rest = line.partition(" ")
        yield instruction, rest.strip()


def build(file: Path, rooms: Path) -> Stage:
    """Run all steps and return the last stage."""
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    end: list[str] = []
    for instruction, rest in steps(file.read_text(encoding="utf-8")):
        print(f"{instruction} {rest}", flush=True)
        if instruction == "FROM":
            release, _, name = rest.partition(" AS ")
            name = name or "last"
            stage = stages[name] = Stage(rooms / name, release.removeprefix("debian:").removesuffix("-slim"))
            continue
        assert stage is not None, "FROM comes first"
        if instruction == "RUN":
            stage.run("/bin/sh", "-c", rest)
        elif instruction == "COPY":
            words = rest.split()
            start = words.pop(0).removeprefix("--from=") if words[0].startswith("--from=") else ""
            stage.copy_in((stages[start].root if start else CONTEXT) / words[0].lstrip("/"), words[1])
        elif instruction == "ENV":
            stage.environment = [*stage.environment, rest.replace("$PATH", SYSTEM.removeprefix("PATH="))]
        elif instruction == "WORKDIR":
            stage.enter(rest)
        elif instruction == "USER":
            stage.user = rest
        else:
            end += json.loads(rest)
    assert stage is not None, "there is nothing to build"
    stage.run(*end)
    return stage


if __name__ == "__main__":
    last = build(Path(sys.argv[1]), Path(sys.argv[2]).resolve())
    size = subprocess.run(["du", "-sxm", "--exclude=proc", last.root], capture_output=True, text=True, check=True)
    print(f"{last.root}: {size.stdout.split()[0]} MiB")
