"""Jobs for test_tracer.py: other ways into torch, the scripts of jobs/zoo, and torch.compile."""

import contextlib
import copy
import hashlib
import io
import os
import pickle
import re
import runpy
import sys
import tempfile
import warnings

import torch
import torch.nn.functional as F
from torch import nn
from traced_jobs import JOBS, Lion, Net, data, final, job, sgd, train


@job
def checkpointed():
    from torch.utils.checkpoint import checkpoint

    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for reentrant in (False, True):
        x, y = data(8)
        hidden = checkpoint(model[0], x.requires_grad_(), use_reentrant=reentrant)
        F.cross_entropy(model[2](hidden), y).backward()
        optimizer.step()
    return final(model)


@job
def step_in_backward():
    model = nn.Linear(4, 3)
    optimizers = {param: torch.optim.SGD([param], lr=0.1) for param in model.parameters()}
    for param in model.parameters():
        param.register_post_accumulate_grad_hook(lambda one: (optimizers[one].step(), None)[1])
    x, y = data(8)
    for _ in range(2):
        F.cross_entropy(model(x), y).backward()
    return final(model)


@job
def gradient_penalty():
    model = nn.Linear(4, 1)
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(2):
        x = torch.randn(8, 4, requires_grad=True)
        (gradient,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
        optimizer.zero_grad()
        (model(x).mean() + (gradient.norm(dim=1) - 1).pow(2).mean()).backward()
        optimizer.step()
    return final(model)


@job
def other_engines():
    """What looks into modules or tensors in its own ways, and must meet no tracer."""
    model = Net().eval()
    x = torch.randn(3, 4)
    found = [torch.jit.trace(model, x)(x), torch.fx.symbolic_trace(model)(x)]
    found.append(torch.export.export(model, (x,)).module()(x))
    found.append(torch.func.vmap(lambda one: torch.func.functional_call(model, {}, (one[None],)))(x))
    weights = dict(model.named_parameters())
    gradient = torch.func.grad(lambda w: torch.func.functional_call(model, w, (x,)).sum())(weights)
    found += gradient.values()
    scripted = torch.jit.script(nn.Linear(4, 3))
    losses = train(scripted, torch.optim.SGD(scripted.parameters(), lr=0.1), 2)
    with torch.device("meta"):
        nn.Linear(4, 3)(torch.zeros(2, 4))
    lazy = nn.LazyLinear(3)
    losses += train(lazy, Lion(lazy.parameters()), 1)
    return [one.double().sum().item().hex() for one in found] + losses


@job
def copies_and_pickles():
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    train(model, optimizer, 1)
    assert pickle.loads(pickle.dumps(torch.autograd.backward)) is torch.autograd.backward
    assert pickle.loads(pickle.dumps(torch.optim.SGD)) is torch.optim.SGD
    assert not model._forward_hooks
    assert not optimizer._optimizer_step_post_hooks
    twin, other = copy.deepcopy((model, optimizer))
    # Storages are pickled under their addresses, of 8 to 15 digits.
    pickled = [pickle.dumps(one) for one in (model, twin, optimizer, other, model.state_dict())]
    sizes = [len(re.sub(rb"[0-9]{7,}", b"", one)) for one in pickled]
    torch.utils.swap_tensors(model.first.weight, twin.first.weight)  # refuses tensors with weak references
    return sizes + train(twin, other, 1) + final(model, twin)


@job
def warnings_are_the_users():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sgd()
        compiled = torch.compile(nn.Linear(4, 3), backend="eager")
        train(compiled, torch.optim.SGD(compiled.parameters(), lr=0.1), 2)
    return sorted(str(one.message) for one in caught)


# The zoo: scripts as they are, with what they leave behind.


def zoo(script):
    def run():
        folder = tempfile.mkdtemp()
        os.chdir(folder)
        sys.argv = [script]
        with contextlib.redirect_stdout(io.StringIO()) as out:
            runpy.run_path(os.path.join(os.environ["ZOO"], f"{script}.py"), run_name="__main__")
        names = sorted(os.listdir(folder))
        files = {}
        for name in names:
            with open(name, "rb") as file:
                files[name] = hashlib.sha256(file.read()).hexdigest()
        return [out.getvalue(), files]

    return run


for _script in ("cnn", "transformer", "lstm", "gan", "vae", "rl"):
    JOBS[f"zoo_{_script}"] = zoo(_script)


# torch.compile


def counted(result):
    from torch._dynamo.utils import counters

    stats = {name: counters["stats"][name] for name in ("unique_graphs", "calls_captured")}
    return [*result, stats, sum(counters["graph_break"].values()), sum(counters["recompiles"].values())]


def compiled_model(backend):
    model = torch.compile(Net(), backend=backend)
    return counted(train(model, torch.optim.AdamW(model.parameters())) + final(model))


@job
def compiled_aot():
    return compiled_model("aot_eager")


@job
def compiled_inductor():
    return compiled_model("inductor")


@job
def compiled_in_place():
    model = Net()
    losses = train(model, torch.optim.SGD(model.parameters(), lr=0.1), 1)
    model.compile(backend="aot_eager")
    return counted(losses + train(model, torch.optim.AdamW(model.parameters())) + final(model))


@job
def compiled_function():
    model = Net()

    @torch.compile(backend="aot_eager", fullgraph=True)
    def loss_of(x, y):
        return F.cross_entropy(model(x), y)

    optimizer = torch.optim.AdamW(model.parameters())
    for _ in range(3):
        optimizer.zero_grad()
        loss_of(*data(8)).backward()
        optimizer.step()
    return counted(final(model))


@job
def compiled_step():
    model = Net()
    optimizer = torch.optim.AdamW(model.parameters())
    step = torch.compile(optimizer.step, backend="aot_eager")
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(torch.ones(8, 4)), torch.zeros(8, dtype=torch.int64))
        loss.backward()
        step()
        losses.append(loss.item().hex())
    return losses + final(model)


@job
def compiled_whole_step():
    """fullgraph: a hook that breaks the graph would fail the job."""
    model = nn.Linear(4, 3)
    optimizer = Lion(model.parameters())

    @torch.compile(backend="aot_eager", fullgraph=True)
    def step():
        optimizer.step()

    for _ in range(2):
        F.cross_entropy(model(torch.ones(8, 4)), torch.zeros(8, dtype=torch.int64)).backward()
        step()
    return counted(final(model))


@job
def compiled_everything():
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    @torch.compile(backend="aot_eager")
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return counted([step(*data(8)).item().hex() for _ in range(3)] + final(model))
