#!/usr/bin/env python3
"""Builds the images of this folder without Docker and without a container registry.

    manifests/images/build_without_docker.py STORAGE [--gpu]

Podman executes the same Dockerfiles. Only the two base images that they start from, which a registry would give, are
replaced: by Debian bookworm with its own CPython 3.11, from Debian's packages, and by that with this machine's Go. The
images stay in the folder STORAGE; their layers and sizes are printed. Needs root, Debian's packages podman, runc and
mmdebstrap, and Go.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
IMAGES = pathlib.Path(__file__).resolve().parent
TOOLS = ("podman", "runc", "mmdebstrap", "go")

# What python:3.11-slim-bookworm has on top of Debian's smallest system, and the headers that it brings with its Python.
_PACKAGES = ("python3.11", "python3.11-venv", "python3.11-dev", "ca-certificates", "netbase", "tzdata")
_CERTIFICATES = pathlib.Path("/etc/ssl/certs")


class BuildError(RuntimeError):
    """The images cannot be built on this machine."""


def missing_requirement() -> str | None:
    """Returns what this machine lacks for a build, for people to read, or None."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"{', '.join(missing)} not found: apt-get install podman runc mmdebstrap, and Go 1.26 or later"
    if os.geteuid() != 0:
        return "root is needed to set the owners of files in an image"
    return None


class Podman:
    """Podman with a storage of its own."""

    def __init__(self, storage: pathlib.Path) -> None:
        """Takes the folder that keeps the images; it is made if it does not exist."""
        self._storage = storage.resolve()
        self._storage.mkdir(parents=True, exist_ok=True)

    def command(self, *arguments: str) -> list[str]:
        """Returns the command line that runs Podman with these arguments."""
        # runc: crun refuses machines that have both versions of control groups.
        options = ["--runtime", "runc", "--cgroup-manager", "cgroupfs"]
        return [
            "podman",
            "--root",
            str(self._storage / "images"),
            "--runroot",
            str(self._storage / "run"),
            *options,
            *arguments,
        ]

    def run(self, *arguments: str, standard_input: str | None = None) -> str:
        """Runs Podman.

        Args:
            arguments: Of the command line.
            standard_input: Text to pass.

        Returns:
            The standard output of the command. What it says while it works goes through to standard error.

        Raises:
            BuildError: The command failed.
        """
        completed = subprocess.run(
            self.command(*arguments),
            input=standard_input,
            stdout=sys.stderr if arguments[0] == "build" else subprocess.PIPE,
            text=True,
            check=False,
        )
        if completed.returncode != 0:
            raise BuildError(
                f"podman {arguments[0]} failed with exit code {completed.returncode}; its messages are above"
            )
        return completed.stdout

    def has(self, image: str) -> bool:
        """Returns whether an image of that name is stored."""
        return subprocess.run(self.command("image", "exists", image), check=False).returncode == 0

    def digest_reference(self, image: str) -> str:
        """Returns the image's name by digest, as the Dockerfiles want it."""
        return f"{image}@{self.run('image', 'inspect', '--format', '{{.Digest}}', image).strip()}"


def limit_options() -> list[str]:
    """Returns the options that give a container this process's own limits; Podman would try to raise them."""
    limits = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
    hard = {name: resource.getrlimit(limit)[1] for name, limit in limits.items()}
    return [f"--ulimit={name}={value}:{value}" for name, value in hard.items()]


def build_cpu_image(podman: Podman) -> str:
    """Builds the image of `cpu.Dockerfile` and returns its name."""
    python, go = _python_stand_in(podman), _go_stand_in(podman)
    return _build(podman, "cpu", PYTHON_IMAGE=podman.digest_reference(python), GO_IMAGE=podman.digest_reference(go))


def build_gpu_image(podman: Podman, cpu_image: str) -> str:
    """Builds the image of `gpu.Dockerfile` on a CPU image and returns its name."""
    return _build(podman, "gpu", CPU_IMAGE=podman.digest_reference(cpu_image))


def _python_stand_in(podman: Podman) -> str:
    image = "localhost/python-stand-in"
    if not podman.has(image):
        debian = ["mmdebstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}", "bookworm"]
        with subprocess.Popen([*debian, "-"], stdout=subprocess.PIPE) as process:
            subprocess.run(podman.command("import", "-", image), stdin=process.stdout, check=True)
        if process.returncode != 0:
            raise BuildError("mmdebstrap failed; its messages are above")
    return image


def _go_stand_in(podman: Podman) -> str:
    image = "localhost/go-stand-in"
    if not podman.has(image):
        go_root = subprocess.run(["go", "env", "GOROOT"], capture_output=True, text=True, check=True).stdout.strip()
        dockerfile = "FROM localhost/python-stand-in\nCOPY . /usr/local/go\nENV PATH=/usr/local/go/bin:/usr/bin:/bin\n"
        podman.run("build", "--pull=never", "--tag", image, "--file", "-", go_root, standard_input=dockerfile)
    return image


def _build(podman: Podman, name: str, **arguments: str) -> str:
    image = f"localhost/tfx-federated-{name}"
    options = [f"--build-arg={key}={value}" for key, value in arguments.items()]
    # The machine's own certificate authorities while building, for a proxy with its own; the image has none of them.
    options.append(f"--volume={_CERTIFICATES}:{_CERTIFICATES}:ro")
    dockerfile = IMAGES / f"{name}.Dockerfile"
    options += ["--pull=never", "--isolation=chroot", "--network=host", f"--ignorefile={dockerfile}.dockerignore"]
    podman.run("build", *options, "--tag", image, "--file", str(dockerfile), str(REPOSITORY))
    return image


def layers(podman: Podman, image: str) -> list[tuple[str, int]]:
    """Returns what made each layer of an image, the base first, and the layer's size in bytes."""
    history = json.loads(podman.run("history", "--no-trunc", "--format", "json", image))
    return [(layer["CreatedBy"], layer["size"]) for layer in reversed(history) if layer["size"]]


def main() -> int:
    """Reads the command line, builds, prints the layers and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("storage", type=pathlib.Path, help="folder that keeps the images")
    parser.add_argument("--gpu", action="store_true", help="build the GPU image on top")
    arguments = parser.parse_args()
    missing = missing_requirement()
    if missing:
        print(missing, file=sys.stderr)
        return 1
    podman = Podman(arguments.storage)
    try:
        image = build_cpu_image(podman)
        if arguments.gpu:
            image = build_gpu_image(podman, image)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    for created_by, size in layers(podman, image):
        print(f"{size / 1e6:10,.1f} MB  {created_by}")
    print(f"image {podman.digest_reference(image)} in {arguments.storage}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
