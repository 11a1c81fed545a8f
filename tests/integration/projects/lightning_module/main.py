import argparse

import lightning as L
import torch
from torch.utils.data import DataLoader, TensorDataset


class LitClassifier(L.LightningModule):
    def __init__(self, hidden_dim=16, learning_rate=1e-3):
        super().__init__()
        self.save_hyperparameters()
        self.net = torch.nn.Sequential(
            torch.nn.Linear(8, hidden_dim), torch.nn.ReLU(), torch.nn.Linear(hidden_dim, 2)
        )

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = torch.nn.functional.cross_entropy(self.net(x), y)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.hparams.learning_rate)


def cli_main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch_size", default=16, type=int)
    parser.add_argument("--hidden_dim", type=int, default=16)
    parser.add_argument("--learning_rate", type=float, default=0.01)
    parser.add_argument("--max_epochs", type=int, default=2)
    args = parser.parse_args()

    L.seed_everything(1234)
    x = torch.randn(128, 8)
    loader = DataLoader(TensorDataset(x, (x.sum(1) > 0).long()), batch_size=args.batch_size, shuffle=True)
    model = LitClassifier(args.hidden_dim, args.learning_rate)
    trainer = L.Trainer(max_epochs=args.max_epochs, accelerator="cpu", log_every_n_steps=1)
    trainer.fit(model, loader)


if __name__ == "__main__":
    cli_main()
