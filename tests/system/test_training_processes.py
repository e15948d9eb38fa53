"""Training as processes: killed and resumed to the same bits; two of them to the result of one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from formers.core.notices import Notice
from system import training_job

JOB = Path(__file__).with_name("training_job.py")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
# dropout, accumulation, early stopping, a checkpoint at every second step, epochs that end within windows
LONG = (
    "num_train_epochs=4",
    "per_device_train_batch_size=4",
    "gradient_accumulation_steps=2",
    "dropout=0.2",
    "logging_steps=3",
    'eval_strategy="steps"',
    "eval_steps=2",
    "save_steps=2",
    "load_best_model_at_end=true",
    "save_total_limit=3",
)


def start(*arguments: str) -> subprocess.Popen:
    command = [sys.executable, str(JOB), *arguments]
    return subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(process: subprocess.Popen) -> str:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    return output


def checkpoints(folder: Path) -> set[str]:
    return {entry.name for entry in folder.glob("checkpoint-*")} if folder.is_dir() else set()


def wait_for(condition, process: subprocess.Popen) -> None:
    end = time.monotonic() + 90
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, "the job did not get there"
        time.sleep(0.002)


def test_killed_at_any_moment_it_goes_on_to_the_same_bits(tmp_path):
    whole = start(str(tmp_path / "whole"), str(tmp_path / "whole.pt"), *LONG)
    folder, result = tmp_path / "killed", tmp_path / "killed.pt"
    # kills: as a checkpoint is being written, and a little after one came into being
    for pause in (0.0, 0.03):
        seen = checkpoints(folder)
        job = start(str(folder), str(result), *LONG, "resume=true")
        if pause:
            wait_for(lambda seen=seen: checkpoints(folder) - seen, job)
            time.sleep(pause)
        else:
            wait_for(lambda: any(folder.glob(".checkpoint-4.partial/*")) if folder.is_dir() else False, job)
        job.send_signal(signal.SIGKILL)
        job.wait()
        assert not result.exists()
    finish(start(str(folder), str(result), *LONG, "resume=true"))
    finish(whole)
    expected, found = (torch.load(tmp_path / name, weights_only=True) for name in ("whole.pt", "killed.pt"))
    assert all(torch.equal(expected["weights"][name], found["weights"][name]) for name in expected["weights"])
    assert expected["losses"] == found["losses"]
    assert expected["loss"] == found["loss"]
    assert not list(folder.glob(".checkpoint-*"))


def test_interrupted_politely_it_saves_and_says_how_to_go_on(tmp_path):
    job = start(
        str(tmp_path / "run"),
        str(tmp_path / "none.pt"),
        "max_steps=100000",
        "save_steps=50",
        "save_total_limit=1",
        "save_on_interrupt=true",
        "logging_steps=10000",
    )
    wait_for(lambda: checkpoints(tmp_path / "run"), job)
    job.send_signal(signal.SIGTERM)
    output, _ = job.communicate(timeout=60)
    assert job.returncode == 128 + signal.SIGTERM, output
    assert "resume_from_checkpoint=True) goes on from it" in output
    step = int(output.split("interrupted at step ")[1].split(":")[0])
    assert f"checkpoint-{step}" in checkpoints(tmp_path / "run")


def test_two_processes_give_the_result_of_one(tmp_path):
    common = ("num_train_epochs=2", 'save_strategy="no"', "logging_steps=1", "gradient_accumulation_steps=2")
    one = start(str(tmp_path / "a"), str(tmp_path / "one.pt"), "per_device_train_batch_size=8", *common)
    launch = [
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes",
        "2",
        "--num_machines",
        "1",
        "--mixed_precision",
        "no",
        "--dynamo_backend",
        "no",
        "--main_process_port",
        "0",
    ]
    job = [str(JOB), str(tmp_path / "b"), str(tmp_path / "two.pt"), "per_device_train_batch_size=4", *common]
    two = subprocess.run(
        [sys.executable, *launch, *job], env=ENVIRONMENT, capture_output=True, text=True, timeout=200
    )
    assert two.returncode == 0, two.stderr
    finish(one)
    expected, found = (torch.load(tmp_path / name, weights_only=True) for name in ("one.pt", "two.pt"))
    assert expected["steps"] == found["steps"]
    # 45 examples: the last batch of an epoch holds 5, which do not split evenly
    assert found["losses"] == pytest.approx(expected["losses"], abs=1e-6)
    for name, weight in expected["weights"].items():
        assert torch.allclose(weight, found["weights"][name], atol=1e-6), name
    assert found["eval"] == pytest.approx(expected["eval"], abs=1e-6)
    assert torch.allclose(expected["logits"], found["logits"], atol=1e-6)
    # streams that leave one process without rows in the last batch, or with fewer
    assert expected["labels"] == found["labels"]
    for count, logits in expected["streams"].items():
        assert logits.shape == (count, 3)
        assert torch.allclose(logits, found["streams"][count], atol=1e-6)


def torchrun(processes: int, *arguments: str, restarts: int = 0) -> str:
    launch = ["-m", "torch.distributed.run", "--standalone", f"--max-restarts={restarts}"]
    command = [sys.executable, *launch, f"--nproc-per-node={processes}", str(JOB), *arguments]
    # in a store that is shared with the processes that died, gloo waits for these
    environment = {**ENVIRONMENT, "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sharded(tmp_path_factory):
    """Where one process, and two that shard, trained as far; of the two, one was killed on the way."""
    folder = tmp_path_factory.mktemp("sharded")
    common = ("max_steps=6", "save_steps=2", "logging_steps=2", "gradient_accumulation_steps=2")
    two = ("per_device_train_batch_size=4", "fsdp=true", "resume=true", "die=[3]")
    said = torchrun(2, str(folder / "two"), str(folder / "two.pt"), *common, *two, restarts=3)
    assert "killed in step 4" in said
    training_job.main(str(folder / "one"), str(folder / "one.pt"), *common, "per_device_train_batch_size=8")
    return folder, common


def same_results(folder: Path, name: str) -> None:
    expected, found = (torch.load(folder / file, weights_only=True) for file in ("one.pt", name))
    for key, weight in expected["weights"].items():
        assert torch.allclose(weight, found["weights"][key], atol=1e-6, rtol=0), key
    assert found["losses"] == pytest.approx(expected["losses"], abs=1e-6)
    assert found["loss"] == pytest.approx(expected["loss"], abs=1e-6)
    assert found["eval"] == pytest.approx(expected["eval"], abs=1e-6)
    assert torch.allclose(expected["logits"], found["logits"], atol=1e-6)


def test_shards_of_which_one_was_killed_end_as_one_process_does(sharded):
    same_results(sharded[0], "two.pt")


@pytest.mark.parametrize(("processes", "more"), [(1, ()), (4, ("fsdp=true",))])
def test_shards_go_on_with_another_number_of_processes(sharded, processes, more):
    folder, common = sharded
    checkpoint = f'resume="{folder / "two" / "checkpoint-2"}"'
    share = f"per_device_train_batch_size={8 // processes}"
    files = (str(folder / f"go{processes}"), str(folder / f"go{processes}.pt"))
    if processes == 1:
        with pytest.warns(Notice, match=r"holds no rng_state\.pth"):  # those of two processes are there
            training_job.main(*files, *common, share, checkpoint)
    else:
        torchrun(processes, *files, *common, share, checkpoint, *more)
    same_results(folder, f"go{processes}.pt")


@pytest.mark.parametrize(("processes", "said"), [("1", False), ("2", True)])
def test_a_launcher_that_starts_one_process_for_two_is_noticed(tmp_path, processes, said):
    """The launcher takes the number with --cpu, and starts one process whatever it is."""
    script = tmp_path / "script.py"
    script.write_text(
        "from formers import TrainingArguments\n"
        "print(TrainingArguments('out', use_cpu=True).world_size, 'process')\n"
    )
    launch = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", "--cpu"]
    command = [*launch, "--num_processes", processes, str(script)]
    clean = {name: value for name, value in ENVIRONMENT.items() if name not in ("MASTER_ADDR", "WORLD_SIZE")}
    output = finish(
        subprocess.Popen(command, env=clean, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    )
    assert "1 process" in output
    assert ("started this one alone" in output) == said
