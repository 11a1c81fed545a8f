"""Time series with LSTM cells and LBFGS: its step calls a closure several times."""

import json

import numpy as np
import torch
import torch.nn as nn
import torch.optim as optim


class Sequence(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm1 = nn.LSTMCell(1, 24)
        self.lstm2 = nn.LSTMCell(24, 24)
        self.linear = nn.Linear(24, 1)

    def forward(self, input, future=0):
        outputs = []
        h_t, c_t = torch.zeros(2, input.size(0), 24, dtype=torch.double)
        h_t2, c_t2 = torch.zeros(2, input.size(0), 24, dtype=torch.double)
        for input_t in input.split(1, dim=1):
            h_t, c_t = self.lstm1(input_t, (h_t, c_t))
            h_t2, c_t2 = self.lstm2(h_t, (h_t2, c_t2))
            output = self.linear(h_t2)
            outputs.append(output)
        for _ in range(future):
            h_t, c_t = self.lstm1(output, (h_t, c_t))
            h_t2, c_t2 = self.lstm2(h_t, (h_t2, c_t2))
            output = self.linear(h_t2)
            outputs.append(output)
        return torch.cat(outputs, dim=1)


if __name__ == "__main__":
    np.random.seed(2)
    shift = np.random.randint(-80, 80, 12).reshape(12, 1)
    data = np.sin((np.arange(40) + shift) / 5.0)
    input, target = torch.from_numpy(data[3:, :-1]), torch.from_numpy(data[3:, 1:])
    test_input, test_target = torch.from_numpy(data[:3, :-1]), torch.from_numpy(data[:3, 1:])

    seq = Sequence().double()
    criterion = nn.MSELoss()
    optimizer = optim.LBFGS(seq.parameters(), lr=0.8, max_iter=5)
    losses = []
    for step in range(4):

        def closure():
            optimizer.zero_grad()
            loss = criterion(seq(input), target)
            loss.backward()
            return loss

        optimizer.step(closure)
        with torch.no_grad():
            prediction = seq(test_input, future=20)
            losses.append(criterion(prediction[:, :-20], test_target).item())
        print("step", step, "test loss", losses[-1])
    np.save("prediction.npy", prediction.numpy())
    with open("metrics.json", "w") as f:
        json.dump({"test_loss": losses[-1]}, f)
