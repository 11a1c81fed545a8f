"""Writes the logs in this folder with the real trackers: `python write_tracker_logs.py FOLDER`.

With wandb 0.31.0, mlflow-skinny 3.17.2, dvclive 3.49.1, lightning 2.6.6, transformers 5.24.0, keras 3.15.1
(and torch) in an environment of its own. Each logs the same numbers: loss 1, 1/2, 1/3 and accuracy 0.5, 0.6,
0.7 at steps 0 to 2, and the parameters lr 0.1, epochs 3, model.width 8.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

LOSS, ACCURACY = (1.0, 1 / 2, 1 / 3), (0.5, 0.6, 0.7)
PARAMS = {"lr": 0.1, "epochs": 3, "model": {"width": 8}}


def wandb_log() -> None:
    import wandb

    quiet = wandb.Settings(
        host="box",
        console="off",
        save_code=False,
        disable_git=True,
        x_disable_stats=True,
        x_disable_meta=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
    )
    with wandb.init(project="digits", mode="offline", id="abcdefgh", config=PARAMS, settings=quiet) as run:
        for step in range(3):
            run.log({"loss": LOSS[step], "val": {"acc": ACCURACY[step]}, "word": "hi", "long": "x" * 7_000})
        run.log({"loss": float("nan")}, step=10)
        run.summary["best"] = 0.7
    for path in Path("wandb").rglob("*"):
        if path.is_file() and path.suffix != ".wandb":
            path.unlink()


def mlflow_log() -> None:
    import mlflow

    mlflow.set_tracking_uri("file:./mlruns")
    with mlflow.start_run():
        mlflow.log_params({"lr": 0.1, "epochs": 3, "model.width": 8})
        for step in range(3):
            mlflow.log_metrics({"loss": LOSS[step], "val/acc": ACCURACY[step]}, step=step)
    for path in [*Path("mlruns").rglob("meta.yaml"), *Path("mlruns").rglob("tags/*")]:
        path.unlink()  # they name the machine's paths and its user


def dvclive_log() -> None:
    from dvclive import Live

    with Live("dvclive", save_dvc_exp=False, dvcyaml=None) as live:
        live.log_params(PARAMS)
        for step in range(3):
            live.log_metric("loss", LOSS[step])
            live.log_metric("val/acc", ACCURACY[step])
            live.next_step()


def lightning_log() -> None:
    from lightning.pytorch.loggers import CSVLogger

    log = CSVLogger("lightning", name="", version="")
    log.log_hyperparams(PARAMS)
    for step in range(3):
        log.log_metrics({"loss": LOSS[step]}, step=step)
        log.log_metrics({"acc": ACCURACY[step]}, step=step)
    log.save()


def trainer_log() -> None:
    from transformers.trainer_callback import TrainerState

    for last in (1, 2):
        state = TrainerState(global_step=last, epoch=float(last), max_steps=2)
        for step in range(last + 1):
            state.log_history.append({"epoch": float(step), "loss": LOSS[step], "step": step})
            state.log_history.append({"eval_acc": ACCURACY[step], "eval_runtime": 0.25 + step, "step": step})
        folder = Path("trainer") / f"checkpoint-{last}"
        folder.mkdir(parents=True)
        state.save_to_json(str(folder / "trainer_state.json"))


def keras_log() -> None:
    os.environ["KERAS_BACKEND"] = "torch"
    from keras.callbacks import CSVLogger

    Path("keras").mkdir()
    log = CSVLogger("keras/training.log")
    log.set_model(type("Model", (), {"stop_training": False})())
    log.on_train_begin()
    for step in range(3):
        log.on_epoch_end(step, {"loss": LOSS[step], "accuracy": ACCURACY[step]})
    log.on_train_end()


if __name__ == "__main__":
    os.environ |= {"WANDB_SILENT": "true", "MLFLOW_ALLOW_FILE_STORE": "true"}
    folder = Path(sys.argv[1]).resolve()
    os.chdir(folder)
    for name in ("wandb", "mlruns", "dvclive", "lightning", "trainer", "keras"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for write in (wandb_log, mlflow_log, dvclive_log, lightning_log, trainer_log, keras_log):
        write()
