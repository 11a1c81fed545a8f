import logging

import hydra
import torch
from omegaconf import DictConfig

log = logging.getLogger(__name__)


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg: DictConfig) -> float:
    torch.manual_seed(cfg.seed)
    x = torch.randn(64, 2)
    y = (x[:, 0] * x[:, 1] > 0).float()
    model = torch.nn.Sequential(torch.nn.Linear(2, cfg.model.width), torch.nn.Tanh(), torch.nn.Linear(cfg.model.width, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=cfg.optimizer.lr, betas=tuple(cfg.optimizer.betas))
    for epoch in range(cfg.epochs):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(x).squeeze(1), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        log.info("epoch %d loss %.5f", epoch, loss.item())
    if cfg.save:
        torch.save(model.state_dict(), "model.pt")
    return loss.item()


if __name__ == "__main__":
    main()
