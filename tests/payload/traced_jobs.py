"""Jobs for test_tracer.py: each trains a little in the manner of public scripts, and knows of no tracer.

Run by traced.py. Here: optimizers.
"""

import copy
import warnings

import torch
import torch.nn.functional as F
from torch import nn

JOBS = {}


def job(function):
    JOBS[function.__name__] = function
    return function


class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.first = nn.Linear(4, width)
        self.norm = nn.BatchNorm1d(width)
        self.drop = nn.Dropout(0.2)
        self.second = nn.Linear(width, 3)

    def forward(self, x):
        return self.second(self.drop(torch.relu(self.norm(self.first(x)))))


def data(count=32):
    return torch.randn(count, 4), torch.randint(0, 3, (count,))


def final(*models):
    return [value.double().sum().item().hex() for model in models for value in model.state_dict().values()]


def train(model, optimizer, steps=3, batches=None, lossy=None):
    losses = []
    for number in range(steps):
        x, y = batches[number % len(batches)] if batches else data(8)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item().hex())
    return losses


def simple(build, steps=3):
    model = Net()
    return train(model, build(model.parameters()), steps) + final(model)


@job
def sgd():
    return simple(lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9))


@job
def adamw():
    return simple(torch.optim.AdamW)


@job
def adamw_foreach():
    return simple(lambda params: torch.optim.AdamW(params, foreach=True))


@job
def adamw_fused():
    return simple(lambda params: torch.optim.AdamW(params, fused=True))


@job
def many_steps():
    """More than are flushed at once."""
    return simple(torch.optim.Adam, steps=120)


@job
def lbfgs():
    model = nn.Linear(4, 3)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=4)
    x, y = data()

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        return loss

    return [optimizer.step(closure).item().hex() for _ in range(2)] + final(model)


@job
def two_optimizers():
    maker, judge = nn.Linear(2, 4), nn.Linear(4, 1)
    optimizers = [torch.optim.Adam(model.parameters()) for model in (maker, judge)]
    losses = []
    for number in range(4):
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss = judge(maker(torch.randn(5, 2))).mean()
        (loss if number % 2 else -loss).backward()
        optimizers[number % 2].step()
        losses.append(loss.item().hex())
    return losses + final(maker, judge)


@job
def two_networks_of_one_class():
    policy = nn.Sequential(nn.Linear(4, 3))
    target = copy.deepcopy(policy)
    optimizer = torch.optim.RMSprop(policy.parameters())
    return train(policy, optimizer) + final(policy, target)


@job
def scaler_skips():
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0)
    losses = []
    for number in range(4):
        x, y = data(8)
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = F.cross_entropy(model(x).float(), y)
        scaler.scale(loss * (float("inf") if number == 1 else 1.0)).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item().hex())
    return losses + final(model)


@job
def accumulation():
    model = Net()
    optimizer = torch.optim.AdamW(model.parameters())
    for number in range(6):
        x, y = data(8)
        (F.cross_entropy(model(x), y) / 3).backward()
        if number % 3 == 2:
            optimizer.step()
            optimizer.zero_grad()
    return final(model)


@job
def sparse():
    words = nn.EmbeddingBag(20, 4, mode="sum", sparse=True)
    optimizer = torch.optim.SparseAdam(words.parameters())
    for _ in range(3):
        optimizer.zero_grad()
        words(torch.randint(0, 20, (5, 3))).sum().backward()
        optimizer.step()
    return final(words)


@job
def without_bytes_of_their_own():
    """Batches that are sparse, quantized or nested, and two that have none of any kind."""

    class Sums(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3))

        def forward(self, x, **others):
            return x * self.weight

    model = Sums()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(2):
            x = torch.randn(4, 3)
            others = {
                "coo": x.to_sparse(),
                "csr": x.to_sparse_csr(),
                "csc": x.to_sparse_csc(),
                "bsr": x.to_sparse_bsr((2, 3)),
                "tensorwise": torch.quantize_per_tensor(x, 0.1, 0, torch.qint8),
                "channelwise": torch.quantize_per_channel(x, x[0].abs(), torch.zeros(3), 1, torch.quint8),
                "nested": torch.nested.nested_tensor([x, x[:1]]),
                "jagged": torch.nested.nested_tensor([x, x[:1]], layout=torch.jagged),
                "complex": torch.view_as_complex(torch.randn(4, 2)).conj(),
                "empty": torch.zeros(0, 3),
                "meta": torch.zeros(2, device="meta"),
            }
            model(x, **others).sum().backward()
            optimizer.step()
    return final(model)


@job
def groups_change():
    model = Net()
    model.first.requires_grad_(False)
    optimizer = torch.optim.SGD(model.second.parameters(), lr=0.1)
    losses = train(model, optimizer, 2)
    model.first.requires_grad_(True)
    optimizer.add_param_group({"params": model.first.parameters(), "lr": 0.01})
    return losses + train(model, optimizer, 2) + final(model)


@job
def parameters_without_a_module():
    weight, bias = torch.randn(4, 3, requires_grad=True), torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.SGD([{"params": [weight]}, {"params": [bias], "lr": 1.0}], lr=0.1)
    for _ in range(2):
        x, y = data(8)
        F.cross_entropy(x @ weight + bias, y).backward()
        optimizer.step()
    return [weight.sum().item().hex(), bias.sum().item().hex()]


@job
def named_parameters():
    model = nn.Linear(4, 3)
    return train(model, torch.optim.SGD(model.named_parameters(), lr=0.1)) + final(model)


class Lion(torch.optim.Optimizer):
    def __init__(self, params):
        super().__init__(params, {"lr": 0.01})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for param in group["params"]:
                param.sub_(group["lr"] * param.grad.sign())


@job
def own_optimizer():
    return simple(Lion)


@job
def no_optimizer():
    model = nn.Linear(4, 3)
    for _ in range(2):
        x, y = data(8)
        model.zero_grad()
        F.cross_entropy(model(x), y).backward()
        with torch.no_grad():
            for param in model.parameters():
                param -= 0.1 * param.grad
    return final(model)


@job
def wrapped_optimizer():
    """As SAM does: an optimizer that calls another's step, and overrides nothing else."""

    class Twice(torch.optim.Optimizer):
        def __init__(self, params, base):
            super().__init__(params, {})
            self.base = base(self.param_groups, lr=0.1)

        def step(self, closure=None):
            self.base.step()
            self.base.step()

    return simple(lambda params: Twice(params, torch.optim.SGD), steps=2)
