"""REINFORCE on a walk along a line: episodes from numpy, actions drawn by torch, python's random for the start."""

import json
import random
from collections import deque

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.distributions import Categorical


class Walk:
    """Reach the right end; the wind is random."""

    def reset(self):
        self.place = random.uniform(-0.5, 0.5)
        self.steps = 0
        return np.array([self.place, 0.0], dtype=np.float32)

    def step(self, action):
        wind = np.random.normal(scale=0.05)
        self.place += (0.1 if action else -0.1) + wind
        self.steps += 1
        done = abs(self.place) > 1 or self.steps >= 40
        return np.array([self.place, wind], dtype=np.float32), float(self.place > 1), done


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.affine1 = nn.Linear(2, 32)
        self.dropout = nn.Dropout(p=0.1)
        self.affine2 = nn.Linear(32, 2)
        self.saved_log_probs = []
        self.rewards = []

    def forward(self, x):
        return F.softmax(self.affine2(F.relu(self.dropout(self.affine1(x)))), dim=1)


policy = Policy()
optimizer = optim.Adam(policy.parameters(), lr=1e-2)
eps = np.finfo(np.float32).eps.item()


def select_action(state):
    m = Categorical(policy(torch.from_numpy(state).float().unsqueeze(0)))
    action = m.sample()
    policy.saved_log_probs.append(m.log_prob(action))
    return action.item()


def finish_episode():
    R, returns = 0.0, deque()
    for r in policy.rewards[::-1]:
        R = r + 0.99 * R
        returns.appendleft(R)
    returns = torch.tensor(returns)
    returns = (returns - returns.mean()) / (returns.std(unbiased=False) + eps)
    optimizer.zero_grad()
    torch.cat([-log_prob * R for log_prob, R in zip(policy.saved_log_probs, returns)]).sum().backward()
    optimizer.step()
    policy.rewards.clear()
    policy.saved_log_probs.clear()


env, running = Walk(), 0.0
with open("metrics.jsonl", "w") as log:
    for episode in range(25):
        state, done, total = env.reset(), False, 0.0
        while not done:
            state, reward, done = env.step(select_action(state))
            policy.rewards.append(reward)
            total += reward
        running = 0.05 * total + 0.95 * running
        finish_episode()
        log.write(json.dumps({"episode": episode, "step": episode, "reward": total, "running": running}) + "\n")
torch.save(policy.state_dict(), "policy.pt")
