"""The peer of benchmarks/training.py: the recipe of Wang et al. (2025) as people run it, with `transformers.Trainer`.

LoRA of rank 16 on all linear layers and the new rows of the embedding through `peft`, batches padded to their longest
prompt, logits of every position, forward KL between the target and the softmax at the answer. Scoring goes one by one.
"""

from __future__ import annotations

import itertools
import time
from typing import Any

import torch
from torch.nn import functional

LEVELS = 10


def prepared(base: str) -> tuple[Any, Any, list[int]]:
    """Return the base with level tokens, its tokenizer and the ids of these tokens."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(base)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    tokens = [f" <|label_level_{level}|>" for level in range(LEVELS)]
    tokenizer.add_tokens(tokens)
    model.resize_token_embeddings(len(tokenizer))
    return model, tokenizer, [int(tokenizer.convert_tokens_to_ids(token)) for token in tokens]


def prompt(tokenizer: Any, premise: str, hypothesis: str) -> str:
    """Return the published prompt up to the answer."""
    question = (
        f'### Question: Given the premise "{premise}", how likely is it that the hypothesis "{hypothesis}" is true?\n\n'
    )
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": "### Answer:"}]
    return str(tokenizer.apply_chat_template(turns, tokenize=False, continue_final_message=True))


def train_seconds(base: str, rows: list[tuple[str, str]], batch: int, steps: int, *, bf16: bool) -> list[float]:
    """Train for some steps and return the seconds of each."""
    import tempfile

    from peft import LoraConfig, get_peft_model
    from transformers import Trainer, TrainerCallback, TrainingArguments

    model, tokenizer, ids = prepared(base)
    config = LoraConfig(
        r=16, lora_alpha=32, lora_dropout=0.05, target_modules="all-linear", task_type="CAUSAL_LM",
        trainable_token_indices={"embed_tokens": ids},
    )  # fmt: skip
    model = get_peft_model(model, config)
    ends: list[float] = []

    class Distribution(Trainer):
        def compute_loss(self, model: Any, inputs: Any, *_: Any, **__: Any) -> Any:
            logits = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits
            last = inputs["attention_mask"].sum(dim=1) - 1
            answer = functional.log_softmax(logits[torch.arange(len(last)), last].float(), dim=-1)[:, ids]
            target = inputs["target"]
            return (torch.special.xlogy(target, target) - target * answer).sum(dim=-1).mean()

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            ends.append(time.monotonic())

    def collate(some: list[tuple[str, str]]) -> dict[str, torch.Tensor]:
        texts = [prompt(tokenizer, *row) for row in some]
        inputs = tokenizer(texts, padding=True, return_tensors="pt", add_special_tokens=False)
        return {**inputs, "target": torch.full((len(some), LEVELS), 1 / LEVELS)}

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, per_device_train_batch_size=batch, max_steps=steps + 1, learning_rate=2e-5, report_to=[],
            save_strategy="no", remove_unused_columns=False, disable_tqdm=True, bf16=bf16, logging_strategy="no",
            use_cpu=not torch.cuda.is_available(),
        )  # fmt: skip
        trainer = Distribution(model, arguments, train_dataset=rows, data_collator=collate, callbacks=[Clock()])
        trainer.train()
    return [after - before for before, after in itertools.pairwise(ends)]


@torch.inference_mode()
def score_seconds(base: str, rows: list[tuple[str, str]], *, bf16: bool) -> float:
    """Score propositions one by one and return the seconds."""
    model, tokenizer, ids = prepared(base)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = model.to(device, torch.bfloat16 if bf16 else torch.float32).eval()
    centres = (torch.arange(LEVELS, device=device) + 0.5) / LEVELS
    began = 0.0
    for number, row in enumerate([rows[0], *rows]):
        if number == 1:  # the first one only warms up
            began = time.monotonic()
        inputs = tokenizer(prompt(tokenizer, *row), return_tensors="pt", add_special_tokens=False).to(device)
        float(model(**inputs).logits[0, -1, ids].float().softmax(dim=-1) @ centres)
    return time.monotonic() - began
