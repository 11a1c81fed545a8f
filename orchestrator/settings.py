"""Where things are: one frozen value, read once from the environment.

| variable | meaning | default |
|---|---|---|
| REPRISE_HOME | everything of this box: database, store, image layers, attempts | the user's data folder |
| REPRISE_DATABASE_URL | the record | sqlite file in REPRISE_HOME |
| REPRISE_REGISTRY | `host/repository` that images travel through | none: images stay in the engine |
| REPRISE_STORE | content-addressed blobs: a folder, or `s3://BUCKET/PREFIX` | REPRISE_HOME/store |
| AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION | for a store on S3 | |
| REPRISE_CACHE_SIZE | what REPRISE_HOME/inputs keeps of input data, such as `200GB` | a quarter of its disk |
| REPRISE_IMAGES | the flavours (Dockerfile.base, images/) | the checkout, else the copies in the package |
| DOCKER_HOST | the engine | what the docker package finds |
| REPRISE_RAY | the Ray cluster of `--on ray`: its dashboard, `http://HOST:8265` | none |
| RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH | Ray's own: its token, or the file that holds it | none |
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.typed_path import typed_path

PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Settings:
    home: Path
    database_url: str
    store: Path  # the folder of blobs; unused with a bucket
    bucket: str | None = field(default=None, kw_only=True)  # s3://bucket/prefix
    registry: str | None = field(default=None, kw_only=True)  # host[:port]/repository
    cache_size: str | None = field(default=None, kw_only=True)  # such as 200GB; None: a quarter of the disk
    ray: str | None = field(default=None, kw_only=True)  # address of a Ray dashboard
    ray_token: str | None = field(default=None, kw_only=True, repr=False)
    ray_token_path: Path | None = field(default=None, kw_only=True)
    recipes: Path  # the folder that holds bases.toml and one folder per flavour
    dockerfile: Path  # Dockerfile.base

    @property
    def store_address(self) -> str:
        """As REPRISE_STORE has it."""
        return self.bucket or str(self.store)

    @property
    def layout(self) -> Path:
        """Image manifests, configs and layers, as an OCI layout's `blobs/sha256/` folder."""
        return self.home / "images"

    @property
    def wheels(self) -> Path:
        return self.home / "wheels"

    @property
    def inputs(self) -> Path:
        """Input data that came from the store or in bundles (launch/inputs/input_cache.py)."""
        return self.home / "inputs"

    @property
    def hashes(self) -> Path:
        """Hashes of input files that were read before (spec/known_hashes.py)."""
        return self.home / "hashes.db"

    @property
    def shares_store(self) -> bool:
        """Whether REPRISE_STORE names a store that other boxes can reach, too."""
        return self.bucket is not None or self.store != self.home / "store"

    @property
    def pins(self) -> Path:
        """Bases pinned on this box; where images/bases.toml has the same name, that one counts."""
        return self.home / "bases.toml"

    @property
    def attempts(self) -> Path:
        """One folder per attempt: `RUN-ATTEMPT/{workspace,report}`, and `RUN.lock`."""
        return self.home / "attempts"


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    home = typed_path(environ.get("REPRISE_HOME") or _default_home(), "REPRISE_HOME")
    recipes, dockerfile = _recipes(environ)
    named = environ.get("REPRISE_STORE")
    token = environ.get("RAY_AUTH_TOKEN_PATH")
    bucket = named if named and "://" in named else None
    return Settings(
        home=home,
        database_url=environ.get("REPRISE_DATABASE_URL") or f"sqlite:///{home / 'reprise.db'}",
        store=typed_path(home / "store" if bucket else named or home / "store", "REPRISE_STORE"),
        bucket=bucket,
        registry=environ.get("REPRISE_REGISTRY") or None,
        cache_size=environ.get("REPRISE_CACHE_SIZE") or None,
        ray=environ.get("REPRISE_RAY") or None,
        ray_token=environ.get("RAY_AUTH_TOKEN") or None,
        ray_token_path=typed_path(token, "RAY_AUTH_TOKEN_PATH") if token else None,
        recipes=recipes,
        dockerfile=dockerfile,
    )


def _default_home() -> Path:
    from platformdirs import user_data_path

    return user_data_path("reprise", appauthor=False)


def _recipes(environ: Mapping[str, str]) -> tuple[Path, Path]:
    named = environ.get("REPRISE_IMAGES")
    if named:
        folder = typed_path(named, "REPRISE_IMAGES")
        inside = folder / "Dockerfile.base"
        return folder, inside if inside.exists() else folder.parent / "Dockerfile.base"
    checkout = PACKAGE.parent
    if (checkout / "images" / "bases.toml").exists():
        return checkout / "images", checkout / "Dockerfile.base"
    return PACKAGE / "_images", PACKAGE / "_images" / "Dockerfile.base"
