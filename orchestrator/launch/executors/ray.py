"""A Ray cluster, by its Jobs REST interface: nothing of Ray is imported, or needed where people type.

One attempt is one job whose submission id is the attempt's name, so Ray itself refuses a double. Ray starts
a job once: when its process or its node dies the job is FAILED (1 to 20 s later for a node), and the next
attempt is another job. What is said here of Ray was read in, and seen with, Ray 2.60.

Whoever reaches this interface runs commands on every node (CVE-2023-48022), and reads the environment of
every job, the record's address in it: docs/decisions/0014-ray.md.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import quote, urlsplit

import requests
from requests.auth import AuthBase

from orchestrator.errors import InfrastructureError, UsageError
from orchestrator.image.registry.repository import direct
from orchestrator.launch.executors.executor import AttemptStatus, Launcher, LaunchRequest, Stage
from orchestrator.launch.executors.launched_command import execute_command, execute_environment
from orchestrator.spec.plain_file import read_plain

if TYPE_CHECKING:
    from orchestrator.launch.session import Session
    from orchestrator.settings import Settings

LITTLE_CPU = 0.1  # of a core, for a run whose spec names none; Ray places a job without resources on the head
STOP_WAIT = 900  # seconds from TERM to KILL: the container's 10 s of grace, and what it wrote is collected
CONNECT, READ = 5.0, 30.0  # seconds
LIMIT = 16 << 20  # bytes of an answer
DETAIL = 300  # characters
HINT = "REPRISE_RAY is the address of the head's dashboard, such as http://head:8265"

_STAGES = {
    "PENDING": Stage.WAITING,
    "RUNNING": Stage.RUNNING,
    "SUCCEEDED": Stage.ENDED,
    "FAILED": Stage.ENDED,
    "STOPPED": Stage.ENDED,
}
# A job that was not started within RAY_JOB_START_TIMEOUT_SECONDS (of the head; 900) is thrown out.
_NOT_STARTED = "JOB_SUPERVISOR_ACTOR_START_TIMEOUT"
# The head hands a request on to an agent, and wraps what that one refused.
_OURS = re.compile(r"reprise-[0-9a-f]{16}-[0-9]{1,9}")  # Attempt.name
_REFUSED_BY_AGENT = "Request failed with status code 4"
_BECAUSE = "The actor died because"
_NODE_DIED = f"{_BECAUSE} its node has died"
_RAYS_LAST_WORD = "Job supervisor actor died: "  # Ray also puts a job's message into its log
_RAYS_OWN_LINES = ("Running entrypoint for job ", "Runtime env is setting up.")


class RayAnswer(NamedTuple):
    status: int
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    @property
    def document(self) -> dict[str, Any] | None:
        """None where the body is not a JSON object."""
        found = self._json()
        return found if isinstance(found, dict) else None

    @property
    def listed(self) -> list[dict[str, Any]]:
        """The objects of a JSON list; none where the body is not one."""
        found = self._json()
        return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []

    def _json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class Bearer(AuthBase):
    """Given as authentication, because a .netrc would take the place of a header."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class RayExecutor(Launcher):
    kind = "ray"

    def __init__(self, settings: Settings, address: str, token: str | None) -> None:
        self._environment = execute_environment(settings)
        self._address = address
        self._auth = Bearer(token) if token is not None else None

    @classmethod
    def connect(cls, session: Session) -> Self:
        """UsageError where no cluster is named."""
        settings = session.settings
        if settings.ray is None:
            raise UsageError("no Ray cluster is named", HINT)
        return cls(settings, read_address(settings.ray), read_token(settings))

    def submit(self, attempt: LaunchRequest) -> str:
        """The attempt's name. UsageError for what Ray refuses to take."""
        for _ in range(2):
            answer = self._ask("POST", "", job_request(attempt, self._environment))
            if answer.status == 200:
                if (answer.document or {}).get("submission_id") != attempt.name:
                    raise self._strange(answer)
                return attempt.name
            known = self._job(attempt.name)
            if known is None:
                raise self._refused(answer)
            if not _unbegun(known):
                return attempt.name
            self._ask("DELETE", attempt.name)  # refused where another command has launched it again already
        raise InfrastructureError(f"Ray at {self._address} keeps throwing {attempt.name} out of its queue")

    def poll(self, ref: str) -> AttemptStatus:
        if not _OURS.fullmatch(ref):
            return AttemptStatus(
                stage=Stage.UNKNOWN, detail=f"the record has {ref[:60]!r} for a job: none of ours"
            )
        job = self._job(ref)
        if job is None:
            return AttemptStatus(
                stage=Stage.UNKNOWN, detail="Ray does not know it: its head may be a new one"
            )
        return seen_of(job)

    def poll_many(self, refs: Sequence[str]) -> dict[str, AttemptStatus]:
        """One list of all jobs that the cluster remembers. Those that it does not tell of are left out."""
        if len(refs) < 2:  # asked for by its name it is a shorter answer
            return {}
        answer = self._ask("GET", "")
        if answer.status != 200:
            raise self._strange(answer)
        ours = {ref for ref in refs if _OURS.fullmatch(ref)}
        found: dict[str, AttemptStatus] = {}
        for job in answer.listed:
            ref = job.get("submission_id")
            if isinstance(ref, str) and ref in ours:
                with suppress(InfrastructureError):  # a state that is not known
                    found[ref] = seen_of(job)
        return found

    def cancel(self, ref: str) -> None:
        """A job that Ray has not started yet is started and ended in one; `execute` finds the run over.

        Anybody who can write the record could name any job: only ours are ended, and only their logs read.
        """
        if not _OURS.fullmatch(ref):
            return
        answer = self._ask("POST", f"{quote(ref, safe='')}/stop")
        if answer.status == 404:
            self._check_that_it_is_ray()
        elif answer.status != 200:
            raise self._strange(answer)

    def logs(self, ref: str, start: int = 0) -> bytes:
        if not _OURS.fullmatch(ref):
            return b""
        answer = self._ask("GET", f"{quote(ref, safe='')}/logs")
        if answer.status == 404:
            self._check_that_it_is_ray()
            return b""
        text = (answer.document or {}).get("logs")
        if answer.status != 200 or not isinstance(text, str):
            raise self._strange(answer)
        lines = text.partition(_RAYS_LAST_WORD)[0].splitlines(keepends=True)
        own = [line for line in lines if not any(word in line for word in _RAYS_OWN_LINES)]
        return "".join(own).encode()[start:]

    def _job(self, ref: str) -> dict[str, Any] | None:
        """What Ray says of a job; None where it knows none of that name."""
        answer = self._ask("GET", quote(ref, safe=""))
        if answer.status == 404:
            self._check_that_it_is_ray()
            return None
        if answer.status != 200 or answer.document is None:
            raise self._strange(answer)
        return answer.document

    def _check_that_it_is_ray(self) -> None:
        """Asked before a 404 is taken for "no such job": a proxy or another server answers 404 as well."""
        answer = self._ask("GET", "/api/version")
        if answer.status != 200 or "ray_version" not in (answer.document or {}):
            raise self._strange(answer)

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> RayAnswer:
        """`path`: below /api/jobs/, or from the root. InfrastructureError without an answer."""
        url = f"{self._address}{path if path.startswith('/') else f'/api/jobs/{path}'}"
        try:
            with requests.request(
                method,
                url,
                json=body,
                auth=self._auth,
                timeout=(CONNECT, READ),
                allow_redirects=False,
                proxies=direct(url),
                stream=True,
            ) as response:
                data = b""
                for piece in response.iter_content(1 << 16):
                    data += piece
                    if len(data) > LIMIT:
                        raise InfrastructureError(f"{url}: an answer of more than {LIMIT} bytes")
        except requests.RequestException as error:
            raise InfrastructureError(
                f"Ray at {self._address} does not answer: {_why(error)}", HINT
            ) from error
        if response.status_code in (401, 403):
            raise InfrastructureError(
                f"Ray at {self._address} wants a token, or another one ({response.status_code})",
                "set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH, to what `ray get-auth-token` prints at the head",
            )
        return RayAnswer(response.status_code, data)

    def _refused(self, answer: RayAnswer) -> UsageError | InfrastructureError:
        lines = answer.text.strip().rstrip(".").strip().splitlines()
        agent = answer.status == 500 and _REFUSED_BY_AGENT in answer.text
        if lines and (answer.status == 400 or agent):
            return UsageError(f"Ray refuses the job: {_plain(lines[-1])}")
        return self._strange(answer)

    def _strange(self, answer: RayAnswer) -> InfrastructureError:
        lines = answer.text.strip().rstrip(".").strip().splitlines()
        said = f": {_plain(lines[-1])}" if lines and answer.status != 200 else ""
        return InfrastructureError(
            f"{self._address} answered {answer.status}, not as Ray's Jobs API does{said}", HINT
        )


def job_request(attempt: LaunchRequest, environment: Mapping[str, str]) -> dict[str, Any]:
    """The body of `POST /api/jobs/`. UsageError for a GPU model that can be no label."""
    resources = attempt.resources
    request: dict[str, Any] = {
        "submission_id": attempt.name,
        "entrypoint": entrypoint(attempt),
        "entrypoint_num_cpus": round(resources.cpus or LITTLE_CPU, 4),
        "runtime_env": {
            "env_vars": {
                **environment,
                "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT),
                # A node that sets this would leave all of its GPUs in CUDA_VISIBLE_DEVICES.
                "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "0",
            }
        },
        "metadata": {"job_name": attempt.job, "reprise_run": attempt.run},
    }
    if resources.memory is not None:
        request["entrypoint_memory"] = resources.memory
    if attempt.gpus:
        request["entrypoint_num_gpus"] = attempt.gpus
        if resources.gpu is not None:
            request["entrypoint_label_selector"] = {"gpu": gpu_label(resources.gpu)}
    return request


def entrypoint(attempt: LaunchRequest) -> str:
    """The command for a node's shell. Ray names the job's GPUs in CUDA_VISIBLE_DEVICES; unset means none.

    Its indices are CUDA's and are read as NVML's. On a node with several models of GPU the job may get
    another one than Ray meant, but never one of another job. `exec`: TERM must reach Reprise, not a shell.
    """
    if not attempt.gpus:
        return "exec " + shlex.join(execute_command(attempt.run, attempt.number, ""))
    words = shlex.join(execute_command(attempt.run, attempt.number))
    return f'exec {words} --gpus "${{CUDA_VISIBLE_DEVICES-}}"'


def gpu_label(model: str) -> str:
    """The value of a node's label `gpu` that is asked for: the spec's word in capitals, blanks as dashes.

    Ray compares labels as a whole, with their case. When the job has started, its node checks NVML's name of
    the GPU.
    """
    label = re.sub(r"[^A-Z0-9_.-]+", "-", model.upper()).strip("-_.")
    if not label or len(label) > 63:
        raise UsageError(f"resources.gpu: {model!r} cannot be the value of a label in Ray")
    return label


def seen_of(job: Mapping[str, Any]) -> AttemptStatus:
    """From Ray's JobDetails. InfrastructureError for a state that Ray did not have when this was written."""
    status, code = job.get("status"), job.get("driver_exit_code")
    if not isinstance(status, str) or status not in _STAGES:
        raise InfrastructureError(f"Ray tells a state that is not known: {_plain(str(status))}")
    stage = _STAGES[status]
    if stage is Stage.WAITING:
        return AttemptStatus(stage=stage, detail="Ray waits for a free node that has what the run asks for")
    if stage is Stage.RUNNING:
        return AttemptStatus(stage=stage)
    if _unbegun(job):
        late = job.get("error_type") == _NOT_STARTED
        why = (
            "found no free node in time (RAY_JOB_START_TIMEOUT_SECONDS of its head)"
            if late
            else "lost its node"
        )
        return AttemptStatus(stage=stage, detail=f"Ray {why}", unbegun=True)
    if isinstance(code, int):
        return AttemptStatus(stage=stage, detail=f"its process ended with code {code}")
    if status == "STOPPED":  # by `ray job stop`, or by us: nothing else ends a job so
        return AttemptStatus(stage=stage, detail="stopped in Ray", cancelled=True)
    # Of a dead node Ray first tells the names that it has for the job's process.
    _, because, why = str(job.get("message") or "").partition(_BECAUSE)
    return AttemptStatus(
        stage=stage, detail=_plain(because + why or str(job.get("message") or status.lower()))
    )


def _unbegun(job: Mapping[str, Any]) -> bool:
    """Whether Ray gave a job up before its command was started: `driver_node_id` is written just before.

    Not for every such reason: what fails at each node would be launched again without end.
    """
    if job.get("status") != "FAILED" or job.get("driver_node_id"):
        return False
    return job.get("error_type") == _NOT_STARTED or _NODE_DIED in str(job.get("message"))


def read_address(text: str) -> str:
    """The address without a slash at its end. UsageError where it cannot be a dashboard's."""
    try:
        parts = urlsplit(text.strip())
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a bracket or a port that does not belong there
        raise UsageError("REPRISE_RAY: not an address of http or https", HINT) from None
    if "@" in parts.netloc:
        raise UsageError(
            "REPRISE_RAY holds a user or password, which Ray does not know",
            "its token goes into RAY_AUTH_TOKEN, or the file named by RAY_AUTH_TOKEN_PATH",
        )
    if not whole or parts.query or parts.fragment:
        raise UsageError(f"REPRISE_RAY: not an address of http or https: {text!r}", HINT)
    return text.strip().rstrip("/")


def read_token(settings: Settings) -> str | None:
    token, path = settings.ray_token, settings.ray_token_path
    if token is None and path is not None:
        try:
            token = read_plain(path, 1 << 16, named=True).decode("ascii")
        except UsageError as error:
            raise UsageError(f"RAY_AUTH_TOKEN_PATH: {error.message}", error.hint) from None
        except UnicodeDecodeError:
            raise UsageError(f"RAY_AUTH_TOKEN_PATH: {path} is not ASCII") from None
    if token is None:
        return None
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable():
        raise UsageError(
            "the token for Ray is empty, or not one line of ASCII", "`ray get-auth-token` prints it"
        )
    return token


def _plain(text: str) -> str:
    """One line without control characters, and not a long one."""
    line = " ".join(text.split())
    return "".join(letter for letter in line if letter.isprintable())[:DETAIL]


def _why(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return f"silent for {CONNECT if isinstance(error, requests.ConnectTimeout) else READ:g} s"
    if isinstance(error, requests.exceptions.SSLError):
        return f"TLS: {_plain(str(error))}"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return f"{type(error).__name__}: {_plain(str(error))}"
