"""Jobs for test_tracer_processes.py: loaders, workers, children, threads, and what goes wrong in between."""

import io
import os
import sys
import threading

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset
from traced_jobs import Net, data, final, job, sgd, train


@job
def evaluation_between():
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = DataLoader(TensorDataset(*data(16)), batch_size=8, shuffle=True)
    found = []
    for _ in range(2):
        model.train()
        for x, y in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        model.eval()
        for mode in (torch.no_grad, torch.inference_mode):
            with mode():
                found += [model(x).sum().item().hex() for x, _ in loader]
    return found + final(model)


@job
def resumed():
    model = Net()
    optimizer = torch.optim.AdamW(model.parameters())
    losses = train(model, optimizer, 2)
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    del model, optimizer
    file.seek(0)
    saved = torch.load(file)
    model = Net()
    model.load_state_dict(saved["model"])
    optimizer = torch.optim.AdamW(model.parameters())
    optimizer.load_state_dict(saved["optimizer"])
    return losses + train(model, optimizer, 2) + final(model)


@job
def workers_forked():
    loader = DataLoader(TensorDataset(*data(32)), batch_size=8, shuffle=True, num_workers=2)
    model = Net()
    return train(model, torch.optim.SGD(model.parameters(), lr=0.1), 4, list(loader)) + final(model)


@job
def workers_spawned():
    loader = DataLoader(
        TensorDataset(*data(16)), batch_size=8, num_workers=1, multiprocessing_context="spawn"
    )
    model = Net()
    return train(model, torch.optim.SGD(model.parameters(), lr=0.1), 2, list(loader)) + final(model)


class Transformed(TensorDataset):
    def __init__(self, *tensors):
        super().__init__(*tensors)
        self.transform = nn.Sequential(nn.Identity(), nn.Flatten(0))  # as torchvision's are modules

    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return self.transform(x), y


@job
def transforms_are_modules():
    loader = DataLoader(Transformed(*data(32)), batch_size=16)
    model = Net()
    return train(model, torch.optim.SGD(model.parameters(), lr=0.1), 2, list(loader)) + final(model)


class Endless(IterableDataset):
    def __iter__(self):
        model = nn.Linear(4, 4)  # a worker that calls a module
        while True:
            yield {"x": model(torch.randn(4)).detach(), "y": torch.randint(0, 3, ()), "name": "a word"}


@job
def dictionaries():
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = iter(DataLoader(Endless(), batch_size=8, num_workers=1))
    for _ in range(2):
        batch = next(loader)
        F.cross_entropy(model(input=batch["x"]), batch["y"]).backward()
        optimizer.step()
    return final(model)


@job
def a_child_trains():
    """multiprocessing's fork, and the user's own; both train after their parent did."""
    import multiprocessing

    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = train(model, optimizer, 2)
    child = multiprocessing.get_context("fork").Process(target=train, args=(model, optimizer, 3))
    child.start()
    child.join()
    sys.stdout.flush()
    own = os.fork()
    if own == 0:
        train(model, optimizer, 1)
        os._exit(0)
    os.waitpid(own, 0)
    return losses + train(model, optimizer, 2) + final(model)


def rank_trains(rank):
    torch.manual_seed(rank)
    sgd()


@job
def a_spawned_child_trains():
    import torch.multiprocessing

    torch.multiprocessing.spawn(rank_trains, nprocs=1)
    return sgd()


@job
def a_thread_trains():
    over = threading.Event()
    beside = nn.Linear(2, 2)
    own = torch.Generator()

    def compute():  # beside, without drawing numbers that are not its own
        loader = DataLoader(TensorDataset(torch.zeros(4, 2)), generator=own)
        while not over.is_set():
            for (x,) in loader:
                beside(x)

    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = train(model, optimizer, 1)
    other = threading.Thread(target=compute)
    other.start()
    losses += train(model, optimizer, 20)
    over.set()
    other.join()
    return losses + final(model)


@job
def threads_one_after_the_other():
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        thread = threading.Thread(target=train, args=(model, optimizer, 2))
        thread.start()
        thread.join()
    return final(model)


class Brittle(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 3)
        self.error = None

    def forward(self, x):
        x = self.inner(x)
        if self.error is not None:
            raise self.error
        return x


@job
def forward_raises():
    model = Brittle()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = train(model, optimizer, 1)
    for error in (ValueError("a bad batch"), KeyboardInterrupt()):
        model.error = error
        try:
            model(torch.zeros(2, 4))
        except (ValueError, KeyboardInterrupt):
            model.error = None
        losses += train(model, optimizer, 2)
    return losses + final(model)
