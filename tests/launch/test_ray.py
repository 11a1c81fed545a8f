"""The Ray executor without Ray: what it asks for, what it makes of answers, and of none."""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.local_server import Handler, LocalServer
from support.services import free_port

from orchestrator.errors import InfrastructureError, UsageError
from orchestrator.launch.executors.executor import LaunchRequest, Stage
from orchestrator.launch.executors.ray import (
    RayExecutor,
    entrypoint,
    gpu_label,
    job_request,
    read_address,
    read_token,
    seen_of,
)
from orchestrator.record.run_record import Wanted
from orchestrator.settings import load
from orchestrator.spec.jobfile.job_spec import Resources

RUN = "0123456789abcdef"
NAME = f"reprise-{RUN}-2"
ENVIRONMENT = {"REPRISE_DATABASE_URL": "postgresql://ada@db/reprise", "REPRISE_STORE": "/mnt/store"}


def attempt(**resources: Any) -> LaunchRequest:
    asked = Resources(**resources)
    return LaunchRequest(
        run=RUN, number=2, job="digits", gpus=asked.gpus, resources=asked, wanted=Wanted(executor="ray")
    )


# What is asked for


def test_a_run_without_a_gpu_asks_for_a_little_of_a_core_and_gets_no_gpu() -> None:
    request = job_request(attempt(), ENVIRONMENT)
    assert request["submission_id"] == NAME
    assert request["entrypoint_num_cpus"] == 0.1, "without any resource Ray would run it on the head"
    assert not {"entrypoint_num_gpus", "entrypoint_label_selector", "entrypoint_memory"} & set(request)
    command = [sys.executable, "-P", "-m", "orchestrator.cli", "execute", RUN, "--attempt", "2", "--gpus", ""]
    assert request["entrypoint"] == "exec " + shlex.join(command)


def test_resources_and_label_are_the_specs() -> None:
    request = job_request(attempt(gpus=2, gpu="h100", cpus=1.5, memory=1 << 30), ENVIRONMENT)
    assert request["entrypoint_num_gpus"] == 2
    assert request["entrypoint_num_cpus"] == 1.5
    assert request["entrypoint_memory"] == 1 << 30
    assert request["entrypoint_label_selector"] == {"gpu": "H100"}
    assert "entrypoint_label_selector" not in job_request(attempt(gpus=1), ENVIRONMENT)
    assert "entrypoint_label_selector" not in job_request(attempt(gpu="H100"), ENVIRONMENT)


def test_the_environment_finds_the_record_and_leaves_time_to_end() -> None:
    found = job_request(attempt(gpus=1), ENVIRONMENT)["runtime_env"]["env_vars"]
    assert found.items() >= ENVIRONMENT.items()
    assert int(found["RAY_JOB_STOP_WAIT_TIME_S"]) > 60, (
        "Ray's own 3 s would kill it before the container ended"
    )
    assert found["RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"] == "0"
    assert "REPRISE_HOME" not in found


@pytest.mark.parametrize(
    ("visible", "given"),
    [(None, ""), ("", ""), ("0", "0"), ("1,3", "1,3"), ("GPU-5 $(touch x)", "GPU-5 $(touch x)")],
)
def test_the_nodes_shell_hands_over_the_gpus_of_the_allocation_and_never_all(
    visible: str | None, given: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    strange = tmp_path / "py thon; touch x"
    strange.write_text(f"#!{sys.executable} -E\nimport sys\nprint(repr(sys.argv[1:]))\n")
    strange.chmod(0o755)
    monkeypatch.setattr(
        "orchestrator.launch.executors.launched_command.COMMAND",
        (str(strange), "-P", "-m", "orchestrator.cli"),
    )
    environ = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    done = subprocess.run(
        ["/bin/sh", "-c", entrypoint(attempt(gpus=1))],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    words = ["-P", "-m", "orchestrator.cli", "execute", RUN, "--attempt", "2", "--gpus", given]
    assert done.stdout == f"{words!r}\n"
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("model", "label"), [("H100", "H100"), ("h100", "H100"), ("A100 SXM4", "A100-SXM4"), (" L40S ", "L40S")]
)
def test_a_model_as_a_label(model: str, label: str) -> None:
    assert gpu_label(model) == label


@pytest.mark.parametrize("model", ["", "!", "in()", "x" * 64])
def test_what_can_be_no_label_is_refused_or_loses_its_operators(model: str) -> None:
    if model == "in()":  # an operator of Ray's selectors
        assert gpu_label(model) == "IN"
        return
    with pytest.raises(UsageError, match="label"):
        gpu_label(model)


# What is made of answers


@pytest.mark.parametrize(
    ("job", "stage", "detail"),
    [
        ({"status": "PENDING", "message": "Job has not started yet."}, Stage.WAITING, "free node"),
        ({"status": "RUNNING", "message": "Job is currently running."}, Stage.RUNNING, ""),
        ({"status": "SUCCEEDED", "driver_exit_code": 0}, Stage.ENDED, "code 0"),
        ({"status": "STOPPED", "message": "Job was intentionally stopped."}, Stage.ENDED, "stopped"),
        ({"status": "FAILED", "driver_exit_code": -9, "message": "long"}, Stage.ENDED, "code -9"),
        ({"status": "FAILED", "message": "actor died:\n\t\x1b[31mnode"}, Stage.ENDED, "actor died: [31mnode"),
        (
            {"status": "FAILED", "message": f"died: {'x' * 400}. The actor died because it was killed."},
            Stage.ENDED,
            "The actor died because it was killed.",
        ),
        ({"status": "FAILED", "message": None}, Stage.ENDED, "failed"),
    ],
)
def test_states_are_mapped(job: dict[str, Any], stage: Stage, detail: str) -> None:
    seen = seen_of(job)
    assert (seen.stage, seen.unbegun) == (stage, False)
    assert seen.cancelled is (job["status"] == "STOPPED")
    assert detail in seen.detail
    assert "\x1b" not in seen.detail


NODE_DIED = "Job supervisor actor died: The actor died because its node has died. Node Id: 78. It never ran."


@pytest.mark.parametrize(
    ("job", "unbegun"),
    [
        ({"error_type": "JOB_SUPERVISOR_ACTOR_START_TIMEOUT", "message": "Job supervisor"}, True),
        ({"error_type": "JOB_SUPERVISOR_ACTOR_DIED", "message": NODE_DIED, "driver_node_id": None}, True),
        ({"error_type": "JOB_SUPERVISOR_ACTOR_DIED", "message": NODE_DIED, "driver_node_id": "78"}, False),
        ({"error_type": "JOB_SUPERVISOR_ACTOR_DIED", "message": "its worker crashed"}, False),
        ({"error_type": "RUNTIME_ENV_SETUP_FAILURE", "message": "runtime_env setup failed"}, False),
        ({"error_type": "JOB_ENTRYPOINT_COMMAND_ERROR", "driver_exit_code": 5}, False),
    ],
)
def test_what_ray_gave_up_before_it_began_needs_no_new_attempt(job: dict[str, Any], unbegun: bool) -> None:
    seen = seen_of({"status": "FAILED", **job})
    assert (seen.stage, seen.unbegun) == (Stage.ENDED, unbegun)


@pytest.mark.parametrize("job", [{}, {"status": None}, {"status": "PAUSED"}])
def test_a_state_that_is_not_known_decides_nothing(job: dict[str, Any]) -> None:
    with pytest.raises(InfrastructureError, match="state"):
        seen_of(job)


# Against a server


class Server:
    """Answers from a table, in turn; the last one stays. What was asked is kept."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], list[tuple[int, str]]] = {
            ("GET", "/api/version"): [(200, '{"version": "4", "ray_version": "2.60.0"}')]
        }
        self.asked: list[tuple[str, str, bytes, str]] = []
        server = self

        class TableHandler(Handler):
            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                server.asked.append((self.command, self.path, body, self.headers.get("Authorization") or ""))
                turns = server.answers.get((self.command, self.path), [(404, "Job x does not exist")])
                status, text = turns[0] if len(turns) == 1 else turns.pop(0)
                moved = {"Location": f"http://127.0.0.1:{free_port()}/"} if status == 302 else {}
                self.say(status, text.encode(), moved)

            do_GET = do_POST = do_DELETE = _answer

        self.http = LocalServer(TableHandler)
        self.address = self.http.address

    def on(self, method: str, path: str, *turns: tuple[int, object]) -> None:
        texts = [(status, said if isinstance(said, str) else json.dumps(said)) for status, said in turns]
        self.answers[method, path] = texts

    def words(self) -> list[str]:
        return [f"{method} {path}" for method, path, _, _ in self.asked]


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    with made.http:
        yield made


@pytest.fixture
def ray(server: Server) -> RayExecutor:
    return RayExecutor(load({"REPRISE_STORE": "/mnt/store"}), server.address, None)


JOB = f"/api/jobs/{NAME}"
EXISTS = "Traceback\nRuntimeError: Request failed with status code 400: ValueError: it already exists.\n."
THROWN_OUT = {"status": "FAILED", "error_type": "JOB_SUPERVISOR_ACTOR_START_TIMEOUT"}


def test_submitting_posts_the_request(server: Server, ray: RayExecutor) -> None:
    server.on("POST", "/api/jobs/", (200, {"submission_id": NAME, "job_id": NAME}))
    assert ray.submit(attempt()) == NAME
    ((_, _, body, authorization),) = server.asked
    assert json.loads(body) == job_request(
        attempt(), json.loads(body)["runtime_env"]["env_vars"] | {"REPRISE_STORE": "/mnt/store"}
    )
    assert authorization == ""


def test_a_double_is_the_same_ref_whatever_became_of_the_first(server: Server, ray: RayExecutor) -> None:
    server.on("POST", "/api/jobs/", (500, EXISTS))
    for status in ("PENDING", "RUNNING", "SUCCEEDED", "FAILED", "STOPPED"):
        server.on("GET", JOB, (200, {"status": status}))
        assert ray.submit(attempt()) == NAME
    assert "DELETE" not in str(server.words())


def test_what_ray_threw_out_of_its_queue_is_launched_again_under_its_name(
    server: Server, ray: RayExecutor
) -> None:
    server.on("POST", "/api/jobs/", (500, EXISTS), (200, {"submission_id": NAME}))
    server.on("GET", JOB, (200, THROWN_OUT))
    server.on("DELETE", JOB, (200, {"deleted": True}))
    assert ray.submit(attempt()) == NAME
    assert server.words() == ["POST /api/jobs/", f"GET {JOB}", f"DELETE {JOB}", "POST /api/jobs/"]


def test_of_two_that_launch_it_again_the_slower_one_finds_it_there(server: Server, ray: RayExecutor) -> None:
    server.on("POST", "/api/jobs/", (500, EXISTS))
    server.on("GET", JOB, (200, THROWN_OUT), (200, {"status": "PENDING"}))
    server.on("DELETE", JOB, (500, "RuntimeError: it is in a non-terminal state PENDING."))
    assert ray.submit(attempt()) == NAME


@pytest.mark.parametrize(
    ("status", "said", "error", "text"),
    [
        (400, "Traceback\nTypeError: entrypoint must be a string", UsageError, "TypeError: entrypoint"),
        (
            500,
            "Request failed with status code 400: T\nValueError: Invalid label.\n.",
            UsageError,
            "Invalid label",
        ),
        (500, "No available agent to submit job", InfrastructureError, "No available agent"),
        (502, "<html>\nbad gateway", InfrastructureError, "bad gateway"),
        (302, "", InfrastructureError, "302"),
        (200, "<html>a page to log in</html>", InfrastructureError, "not as Ray's"),
        (200, '{"submission_id": "another"}', InfrastructureError, "not as Ray's"),
        (200, '["a list"]', InfrastructureError, "not as Ray's"),
    ],
)
def test_what_is_refused_is_told_from_what_went_wrong(
    server: Server, ray: RayExecutor, status: int, said: str, error: type[Exception], text: str
) -> None:
    server.on("POST", "/api/jobs/", (status, said))
    with pytest.raises(error, match=text):
        ray.submit(attempt())


def test_no_such_job_is_believed_of_ray_only(server: Server, ray: RayExecutor) -> None:
    assert ray.poll(NAME).stage is Stage.UNKNOWN
    ray.cancel(NAME)
    assert ray.logs(NAME) == b""
    server.on("GET", "/api/version", (404, "nothing here"))
    for ask in (ray.poll, ray.cancel, ray.logs):
        with pytest.raises(InfrastructureError, match="404"):
            ask(NAME)


def test_a_strange_answer_decides_nothing(server: Server, ray: RayExecutor) -> None:
    for turn in ((500, "Traceback"), (200, "{"), (200, "[]"), (200, {"status": "NEW"}), (302, "")):
        server.on("GET", JOB, turn)
        with pytest.raises(InfrastructureError):
            ray.poll(NAME)


def test_many_are_asked_for_by_one_list(server: Server, ray: RayExecutor) -> None:
    """What it does not tell of is asked for by itself: only then is it sure that Ray does not know it."""
    names = [f"reprise-{RUN}-{number}" for number in range(1, 6)]
    said = [
        {"submission_id": names[0], "status": "PENDING"},
        {"submission_id": names[1], "status": "FAILED", "driver_exit_code": 3},
        {"submission_id": names[2], "status": "NEW"},
        {"submission_id": "raysubmit_abc", "status": "RUNNING"},
        {"submission_id": None, "type": "DRIVER", "status": "RUNNING"},
        {"submission_id": ["x"], "status": "RUNNING"},
        "no job",
    ]
    server.on("GET", "/api/jobs/", (200, said))
    found = ray.poll_many([*names, "raysubmit_abc"])
    assert found == {names[0]: seen_of(said[0]), names[1]: seen_of(said[1])}
    assert server.words() == ["GET /api/jobs/"]


def test_one_alone_is_not_looked_for_among_all(server: Server, ray: RayExecutor) -> None:
    assert ray.poll_many([NAME]) == ray.poll_many([]) == {}
    assert server.asked == []


def test_a_strange_list_decides_nothing(server: Server, ray: RayExecutor) -> None:
    for body in ("{", "{}", "7", '{"submission_id": "x"}'):
        server.on("GET", "/api/jobs/", (200, body))
        assert ray.poll_many([NAME, f"reprise-{RUN}-3"]) == {}
    server.on("GET", "/api/jobs/", (500, "Traceback\nTimeoutError: gcs"))
    with pytest.raises(InfrastructureError, match="gcs"):
        ray.poll_many([NAME, f"reprise-{RUN}-3"])


def test_cancel_asks_for_the_end_and_tells_when_it_could_not(server: Server, ray: RayExecutor) -> None:
    server.on("POST", f"{JOB}/stop", (200, {"stopped": False}))
    ray.cancel(NAME)
    server.on("POST", f"{JOB}/stop", (500, "Traceback\nTimeoutError: no agent"))
    with pytest.raises(InfrastructureError, match="no agent"):
        ray.cancel(NAME)


def test_the_log_is_without_rays_own_lines_and_read_from_a_byte_on(server: Server, ray: RayExecutor) -> None:
    said = (
        "2026-01-01 10:00:00,000\tINFO job_manager.py:581 -- Runtime env is setting up.\n"
        f"ä pull\nRunning entrypoint for job {NAME}: exec python\nrun\n{NODE_DIED}"
    )
    server.on("GET", f"{JOB}/logs", (200, {"logs": said}))
    assert ray.logs(NAME).decode() == "ä pull\nrun\n"
    assert ray.logs(NAME, 8) == b"run\n"
    assert ray.logs(NAME, 800) == b""


def test_a_ref_that_is_no_attempts_name_reaches_no_job(server: Server, ray: RayExecutor) -> None:
    """A row of the record could name any job of the cluster: none but ours is looked at, read or ended."""
    for ref in ("../../x?y", "raysubmit_abc", f"{NAME}x", "", "reprise-serve"):
        assert ray.poll(ref).stage is Stage.UNKNOWN
        assert ray.logs(ref) == b""
        ray.cancel(ref)
    assert server.asked == []


def test_an_answer_without_end_is_not_read_whole(
    server: Server, ray: RayExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.launch.executors.ray.LIMIT", 1000)
    server.on("GET", JOB, (200, {"status": "RUNNING", "message": "x" * 1000}))
    with pytest.raises(InfrastructureError, match="more than 1000"):
        ray.poll(NAME)


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_is_wanted(server: Server, ray: RayExecutor, status: int) -> None:
    server.on("GET", JOB, (status, "Unauthorized: Missing authentication token"))
    with pytest.raises(InfrastructureError, match="token") as caught:
        ray.poll(NAME)
    assert "RAY_AUTH_TOKEN" in str(caught.value.hint)


def test_the_token_goes_along_whatever_netrc_says(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login ada password wrong\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    path = tmp_path / "token"
    path.write_text("s3cret\n")
    settings = load({"RAY_AUTH_TOKEN_PATH": str(path)})
    server.on("GET", JOB, (200, {"status": "RUNNING"}))
    RayExecutor(settings, server.address, read_token(settings)).poll(NAME)
    assert server.asked[0][3] == "Bearer s3cret"


def test_nobody_there() -> None:
    ray = RayExecutor(load({}), f"http://127.0.0.1:{free_port()}", None)
    for ask in (lambda: ray.submit(attempt()), lambda: ray.poll(NAME), lambda: ray.cancel(NAME)):
        with pytest.raises(InfrastructureError, match="does not answer: no connection") as caught:
            ask()
        assert "REPRISE_RAY" in str(caught.value.hint)


def test_silence_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.launch.executors.ray.READ", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        ray = RayExecutor(load({}), f"http://127.0.0.1:{deaf.getsockname()[1]}", None)
        with pytest.raises(InfrastructureError, match=r"silent for 0\.2 s"):
            ray.poll(NAME)


# Settings


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("http://head:8265", "http://head:8265"),
        (" http://head:8265/ ", "http://head:8265"),
        ("https://ray.example.org/team/", "https://ray.example.org/team"),
    ],
)
def test_addresses(text: str, address: str) -> None:
    assert read_address(text) == address


@pytest.mark.parametrize(
    "text", ["head:8265", "ray://head:10001", "http://", "http://h:x", "http://[", "http://h/?a"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(UsageError, match="REPRISE_RAY: not an address") as caught:
        read_address(text)
    assert "http://head:8265" in str(caught.value.hint)


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError, match="user or password") as caught:
        read_address("http://ada:s3cret@head:8265")
    assert "s3cret" not in f"{caught.value.message} {caught.value.hint}"


def test_tokens(tmp_path: Path) -> None:
    assert read_token(load({})) is None
    path = tmp_path / "token"
    path.write_text("b\n")
    both = load({"RAY_AUTH_TOKEN": " a ", "RAY_AUTH_TOKEN_PATH": str(path)})
    assert read_token(both) == "a"
    assert "ray_token=" not in repr(both), "a token is not to be logged with the settings"
    for content in (b"", b"two\nlines", "ä".encode(), b"\xff"):
        path.write_bytes(content)
        with pytest.raises(UsageError):
            read_token(load({"RAY_AUTH_TOKEN_PATH": str(path)}))
    path.unlink()
    with pytest.raises(UsageError, match="cannot read"):
        read_token(load({"RAY_AUTH_TOKEN_PATH": str(path)}))
