"""trl: supervised fine-tuning and preferences (DPO)."""

import tempfile

from datasets import Dataset
from stage import TEXTS, tiny
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

name = tiny("AutoModelForCausalLM")
more = {"max_steps": 2, "per_device_train_batch_size": 2, "report_to": "none", "bf16": False, "use_cpu": True}
trainer = SFTTrainer(
    model=name,
    args=SFTConfig(output_dir=tempfile.mkdtemp(), max_length=32, gradient_checkpointing=False, **more),
    train_dataset=Dataset.from_dict({"text": TEXTS}),
)
assert trainer.train().training_loss > 0

pairs = {"prompt": TEXTS, "chosen": [" yes"] * 6, "rejected": [" no"] * 6}
trainer = DPOTrainer(
    model=name,
    args=DPOConfig(output_dir=tempfile.mkdtemp(), max_length=32, gradient_checkpointing=False, **more),
    train_dataset=Dataset.from_dict(pairs),
)
assert trainer.train().training_loss > 0
