"""The container engine: the only place that imports docker. Every failure leaves as an EngineError.

The low-level client is used throughout: its calls are the engine's own, one request each.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import IO, Any, Self

import docker
import requests
from docker.errors import APIError, DockerException, NotFound

from orchestrator.digest import CHUNK
from orchestrator.errors import EngineError, EngineMissingError
from orchestrator.run.attempt_model import Plan
from orchestrator.run.engine.container_config import container_config
from orchestrator.run.engine.engine_errors import HOW_TO_GET_ONE, guard, is_name_taken
from orchestrator.run.engine.engine_info import EngineInfo, is_podman, read_info
from orchestrator.run.engine.podman import docker_tag, ended_through_podman
from orchestrator.value import YEARS, Value

_RFC3339 = re.compile(r"(?P<head>[\d-]+T[\d:]+)(?:\.(?P<part>\d+))?(?P<zone>Z|[+-]\d\d:\d\d)")
TIMEOUT = 60  # seconds for one answer of the engine; waiting for a container has none
LABEL_RUN = "reprise.run"
LABEL_ATTEMPT = "reprise.attempt"
LABEL_HOME = "reprise.home"  # keyed name of the home that made the container: others are left alone


class EngineImage(Value):
    """An image as an engine knows it. `id` is its config's digest, in a containerd store its manifest's."""

    id: str
    tags: tuple[str, ...]
    diff_ids: tuple[str, ...]
    labels: dict[str, str]


class ContainerState(Value):
    """A container as the engine sees it now."""

    id: str
    name: str
    status: str  # created, running, exited, dead, ...
    image: str
    exit_code: int | None  # None until it has ended
    oom_killed: bool
    error: str
    started_at: datetime | None
    finished_at: datetime | None
    pid: int
    labels: dict[str, str]

    @property
    def ended(self) -> bool:
        return self.status in ("exited", "dead")


class Engine:
    """One engine, by its low-level client. Closing it closes connections and stops nothing."""

    def __init__(self, api: docker.APIClient) -> None:
        self.api = api

    @classmethod
    def connect(cls) -> Self:
        """The engine that DOCKER_HOST or the current Docker context names.

        EngineMissingError if none answers. The version is negotiated: docker's default is newer than
        Engine 20.10 and older than what Engine 29 takes.
        """
        try:
            api = docker.from_env(version="auto", timeout=TIMEOUT).api
        except (DockerException, requests.exceptions.RequestException) as error:
            where = os.environ.get("DOCKER_HOST") or "the default address"
            raise EngineMissingError(f"no engine answers at {where}: {error}", HOW_TO_GET_ONE) from error
        return cls(api)

    def close(self) -> None:
        self.api.close()

    # What there is

    @cached_property
    def podman(self) -> bool:
        """Whether it is Podman, behind Docker's interface."""
        with guard("asking the engine about itself"):
            return is_podman(self.api.version())

    def info(self) -> EngineInfo:
        with guard("asking the engine about itself"):
            info, version = self.api.info(), self.api.version()
        return read_info(info, version)

    def image(self, reference: str) -> EngineImage | None:
        """The image by tag, id or repo@digest; None where the engine has none."""
        with guard(f"looking for image {reference}"):
            try:
                found = self.api.inspect_image(reference)
            except NotFound:
                return None
        tags = tuple(found.get("RepoTags") or ())
        return EngineImage(
            id=found["Id"],
            tags=tuple(map(docker_tag, tags)) if self.podman else tags,
            diff_ids=tuple((found.get("RootFS") or {}).get("Layers") or ()),
            labels=(found.get("Config") or {}).get("Labels") or {},
        )

    def images_labelled(self, label: str) -> Iterator[EngineImage]:
        """Every tagged image that carries the label. The engine is asked for each when it is taken (7 ms)."""
        with guard("listing images"):
            found = self.api.images(filters={"label": label})
        images = (self.image(item["Id"]) for item in found)
        return (image for image in images if image is not None)

    def tags(self) -> set[str]:
        """The tags of all its images."""
        with guard("listing images"):
            found = {tag for item in self.api.images() for tag in item.get("RepoTags") or ()}
        return set(map(docker_tag, found)) if self.podman else found

    # Images come and go

    def load(self, archive: IO[bytes] | Iterable[bytes]) -> None:
        """Load a `docker save` or OCI archive. An error in the stream of a 200 answer is an error."""
        with guard("loading an image"):
            for line in self.api.load_image(archive, quiet=False):  # progress keeps a slow load alive
                if "error" in line or "errorDetail" in line:
                    raise EngineError(f"loading an image: {line.get('error') or line['errorDetail']}")

    def pull(self, repository: str, digest: str) -> None:
        with guard(f"pulling {repository}@{digest}"):
            for line in self.api.pull(repository, tag=digest, stream=True, decode=True):
                if "error" in line:
                    raise EngineError(f"pulling {repository}@{digest}: {line['error']}")

    def tag(self, image: str, repository: str, tag: str) -> None:
        with guard(f"tagging {image}"):
            self.api.tag(image, repository, tag, force=True)

    def save(self, reference: str) -> Iterator[bytes]:
        """The `docker save` archive of an image, in chunks."""
        with guard(f"saving image {reference}"):
            yield from self.api.get_image(reference)

    def save_all(self, references: Sequence[str]) -> Iterator[bytes]:
        """One archive of several images; a layer that they share is in it once."""
        url = f"{self.api.base_url}/v{self.api.api_version}/images/get"
        with guard(f"saving {len(references)} images"):
            answer = self.api.get(url, params={"names": list(references)}, stream=True, timeout=TIMEOUT)
            with answer:
                if answer.status_code != 200:
                    raise EngineError(f"saving {len(references)} images: {answer.text.strip()[:300]}")
                yield from answer.iter_content(CHUNK)

    def remove_image(self, reference: str) -> None:
        with guard(f"removing image {reference}"):
            self.api.remove_image(reference, force=True)

    def import_image(self, archive: IO[bytes], repository: str, tag: str, changes: list[str]) -> str:
        """Import a tar of a file system as an image of one layer. Returns its id."""
        # docker announces chunks but sends a plain file without them, which the engine refuses: an iterator.
        chunks = iter(lambda: archive.read(CHUNK), b"")
        with guard("importing a file system"):
            answer = self.api.import_image_from_stream(
                chunks, repository=repository, tag=tag, changes=changes
            )
        for line in str(answer).splitlines():
            value = json.loads(line)
            if "error" in value:
                raise EngineError(f"importing a file system: {value['error']}")
            status = value.get("status", "")
        return str(status)

    def build(
        self,
        context: IO[bytes],
        arguments: dict[str, str],
        tag: str,
        no_cache: bool,
        target: str | None = None,
    ) -> Iterator[str]:
        """Build a tar context with the classic builder, line by line of its log; EngineError if it fails.

        `target` is the stage to end with, by default the last.
        """
        with guard("building an image"):
            stream = self.api.build(
                fileobj=context,
                custom_context=True,
                buildargs=arguments,
                tag=tag,
                nocache=no_cache,
                target=target,
                rm=True,
                forcerm=True,
                decode=True,
            )
            for line in stream:
                if "error" in line:
                    raise EngineError(f"building an image: {line['error'].strip()}")
                if text := line.get("stream", "").rstrip("\n"):
                    yield text

    # A container's life

    def create(self, plan: Plan) -> None:
        """Create a plan's container. One of its name that exists already must be of the same run.

        A request that timed out may have created it (seen on Engine 20.10), so the name decides.
        """
        with guard(f"creating container {plan.container}"):
            try:
                self.api.create_container_from_config(container_config(plan), name=plan.container)
            except APIError as error:
                if not is_name_taken(error):
                    raise
            else:
                return
        state = self.inspect(plan.container)
        if state is None or any(state.labels.get(key) != value for key, value in plan.labels.items()):
            raise EngineError(
                f"container {plan.container} is there and is not of this run",
                f"`docker inspect {plan.container}` shows whose it is; remove it, `reprise worker recover`",
            )

    def start(self, name: str) -> None:
        """Start a container; one that runs already is left alone."""
        with guard(f"starting container {name}"):
            self.api.start(name)

    def inspect(self, name: str) -> ContainerState | None:
        with guard(f"looking at container {name}"):
            try:
                found = self.api.inspect_container(name)
            except NotFound:
                return None
        state = found["State"]
        ended = state["Status"] in ("exited", "dead")
        return ContainerState(
            id=found["Id"],
            name=found["Name"].lstrip("/"),
            status=state["Status"],
            image=found["Image"],
            exit_code=state["ExitCode"] if ended else None,
            oom_killed=bool(state.get("OOMKilled")),
            error=state.get("Error") or "",
            started_at=_time(state.get("StartedAt")),
            finished_at=_time(state.get("FinishedAt")) if ended else None,
            pid=int(state.get("Pid") or 0),
            labels=found["Config"].get("Labels") or {},
        )

    def wait(self, name: str, seconds: float) -> bool:
        """Whether the container ended within so many seconds. EngineError if the engine went away."""
        with guard(f"waiting for container {name}"):
            try:
                self.api.wait(name, timeout=seconds)  # type: ignore[arg-type]  # requests takes floats
            except requests.exceptions.ReadTimeout:
                return False
            except requests.exceptions.ConnectionError as error:
                # urllib3's read time-out arrives wrapped so when the answer's headers were already sent.
                if "timed out" in str(error):
                    return False
                raise
        return True

    def now(self) -> datetime:
        """The time by the engine's clock, which also dates its containers. It may differ from ours."""
        with guard("asking the engine for its time"):
            moment = _time(self.api.info().get("SystemTime"))
        if moment is None:
            raise EngineError("the engine does not say what time it is")
        return moment

    def was_killed(self, name: str) -> bool:
        """Whether somebody sent the container a signal through the engine: by hand, or the engine itself
        when it goes down. A signal between processes of the job is not such an event.

        All events that the engine remembers are searched: a start time could be wrong, by our clock or by the
        engine's, which may have been set meanwhile. Each attempt has a container's name of its own, so no
        events of another are found.
        """
        if self.podman:
            return ended_through_podman(self.api, name)
        until = self.now()
        with guard(f"asking what happened to container {name}"):
            events = self.api.events(  # type: ignore[call-overload]  # its times may be texts
                since="1",
                until=f"{until.timestamp():.6f}",
                filters={"container": name, "event": "kill"},
                decode=True,
            )
            return any(True for _ in events)

    def stop(self, name: str, grace: float) -> None:
        """TERM, and KILL after so many seconds."""
        with guard(f"stopping container {name}"):
            try:
                self.api.stop(name, timeout=max(1, round(grace)))
            except NotFound:
                return

    def remove(self, name: str) -> None:
        """Remove a container, dead or alive. One that is gone already is no error."""
        with guard(f"removing container {name}"):
            try:
                self.api.remove_container(name, force=True, v=True)
            except NotFound:
                return

    def containers_of(self, home: str) -> list[ContainerState]:
        """Every container that a home's runs have made, dead or alive."""
        with guard("listing containers"):
            found = self.api.containers(all=True, filters={"label": f"{LABEL_HOME}={home}"})
        states = [self.inspect(item["Id"]) for item in found]
        return [state for state in states if state is not None]

    def export(self, image: str) -> Iterator[bytes]:
        """The file system of an image as one tar, in chunks."""
        with guard(f"exporting {image}"):
            container = self.api.create_container(image, command=["true"], entrypoint=[])["Id"]
            try:
                yield from self.api.export(container)
            finally:
                self.api.remove_container(container, force=True)

    def run_once(self, image: str, command: list[str], seconds: float = 120) -> tuple[int, bytes]:
        """Run a short command of ours in an image, without network; its exit code and standard output."""
        with guard(f"running a command in {image}"):
            host = self.api.create_host_config(network_mode="none", cap_drop=["ALL"], read_only=True)
            made = self.api.create_container(image, command=command, entrypoint=[], host_config=host)
            container = made["Id"]
            try:
                self.api.start(container)
                code = int(self.api.wait(container, timeout=seconds)["StatusCode"])  # type: ignore[arg-type]
                out = self.api.logs(container, stdout=True, stderr=False)
            finally:
                self.api.remove_container(container, force=True)
        return code, out

    def image_settings(self, reference: str) -> dict[str, Any]:
        """What an image's config sets for its containers: Env, Cmd, Volumes, ..."""
        with guard(f"looking at image {reference}"):
            return dict(self.api.inspect_image(reference).get("Config") or {})


def _time(text: str | None) -> datetime | None:
    """The engine's RFC 3339 time with nanoseconds, in any zone; None for its zero time and odd years."""
    found = _RFC3339.fullmatch(text or "")
    if found is None:
        return None
    zone = found["zone"].replace("Z", "+00:00")
    part = ((found["part"] or "") + "000000")[:6]
    moment = datetime.fromisoformat(f"{found['head']}.{part}{zone}")
    return moment.astimezone(UTC) if YEARS[0] <= moment <= YEARS[1] else None
