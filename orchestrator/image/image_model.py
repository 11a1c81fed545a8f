"""The values of image assembly: layers, bases, images."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from orchestrator.digest import Digest
from orchestrator.spec.program import Program
from orchestrator.value import Value

# Paths inside the image, each named once. The payload reads them from its environment.
ROOT = "/opt/reprise"  # all that Reprise adds
SOURCE = f"{ROOT}/source"  # the job's source; the entry point copies it to the workspace
SITE = f"{ROOT}/site"  # the job's wheels, before the base's own packages on sys.path
SCRIPTS = f"{ROOT}/bin"  # the wheels' console scripts, first on PATH
RUNTIME = f"{ROOT}/runtime"  # entry point, determinism settings, read-back, tracer
WORKSPACE = "/workspace"
REPORT = "/run/reprise"  # where the runtime leaves its reports; a mount, absent under a plain docker run
INPUTS = "/inputs"
JOB_USER = 65532  # uid and gid of every job
JOB_NAME = "job"
JOB_HOME = "/tmp/home"  # noqa: S108 - in memory and gone with the container; the entry point makes it

LABEL_PROGRAM = "reprise.program"  # Program.to_label()
LABEL_BASE = "reprise.base"  # canonical JSON of BaseRef
LABEL_PACKAGES = "reprise.packages"  # canonical JSON {name: version} of the job's own wheels
LABEL_ASSEMBLY = "reprise.assembly"  # version of the normalisation rules
ASSEMBLY_VERSION = "1"
LABEL_SETTINGS = "reprise.settings"  # number of the set of determinism settings (determinism_settings.py)
LABEL_PAYLOAD = "reprise.payload"  # number of the payload (payload_releases.py)

REPOSITORY = "reprise"  # local tag: reprise:<hex of the manifest digest>; an untagged image gets pruned

MEDIA_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
MEDIA_CONFIG = "application/vnd.oci.image.config.v1+json"
MEDIA_LAYER = "application/vnd.oci.image.layer.v1.tar"


class LayerKind(StrEnum):
    BASE = "base"
    WHEEL = "wheel"  # one large wheel
    WHEELS = "wheels"  # all the smaller ones
    SOURCE = "source"
    RUNTIME = "runtime"


class Layer(Value):
    """One layer. `digest` names the blob as it travels, `diff_id` its uncompressed tar.

    For every layer that we make the two are equal. `path` is the blob on this box, where there is one.
    """

    kind: LayerKind
    digest: Digest
    diff_id: Digest
    size: int  # bytes of the blob
    media_type: str = MEDIA_LAYER
    title: str = ""
    path: Path | None = None


class PythonFacts(Value):
    """What a probe found in a base: its interpreter, and which wheels it takes."""

    executable: str  # absolute path in the image
    version: str  # "3.11.2"
    purelib: str  # a folder of site-packages that the interpreter reads .pth files from
    glibc: str  # "2.36"
    machine: str  # "x86_64"
    packages: dict[str, str]  # distributions in the base, name -> version
    torch: str | None = None  # "2.13.0+cpu"
    cuda: str | None = None  # torch.version.cuda


class BaseRef(Value):
    """How a base is named in an image's label and in the record."""

    name: str  # flavour, or repository
    digest: Digest  # manifest digest
    config_digest: Digest


class Base(Value):
    """A pinned base, with all that assembly needs. Its layers need not be on this box."""

    ref: BaseRef
    reference: str  # what an engine or a registry can be asked for: tag or repo@sha256:...
    manifest: bytes
    config: bytes
    layers: tuple[Layer, ...]
    python: PythonFacts


class Numbers(Value):
    """Which frozen parts an image was made with."""

    settings: int
    payload: int


def engine_tag(digest: Digest) -> str:
    """What the engine calls the image whose manifest has this digest."""
    return f"{REPOSITORY}:{digest.hex}"


class Image(Value):
    """An assembled image: exact bytes of manifest and config, and where its layers are."""

    digest: Digest  # of the manifest: the experiment's one name
    config_digest: Digest
    manifest: bytes
    config: bytes
    layers: tuple[Layer, ...]  # the base's first
    base: BaseRef
    program: Program
    packages: dict[str, str]  # the job's own wheels
    numbers: Numbers

    @property
    def tag(self) -> str:
        return engine_tag(self.digest)

    @property
    def base_layers(self) -> tuple[Layer, ...]:
        return tuple(layer for layer in self.layers if layer.kind is LayerKind.BASE)

    @property
    def own_layers(self) -> tuple[Layer, ...]:
        return tuple(layer for layer in self.layers if layer.kind is not LayerKind.BASE)
