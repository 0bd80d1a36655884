"""Which configurations of accelerate a fit runs under, and what accelerate is told."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from training.fit.launching import launch_at
from warehouse.errors import InputError

CARRIED = Path(__file__).parents[2] / "examples" / "accelerate"
WRITTEN_BY_ACCELERATE = """
compute_environment: LOCAL_MACHINE
debug: false
distributed_type: FSDP
downcast_bf16: 'no'
enable_cpu_affinity: false
fsdp_config:
  fsdp_activation_checkpointing: false
  fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP
  fsdp_cpu_ram_efficient_loading: true
  fsdp_offload_params: false
  fsdp_reshard_after_forward: true
  fsdp_state_dict_type: SHARDED_STATE_DICT
  fsdp_transformer_layer_cls_to_wrap: LlamaDecoderLayer
  fsdp_version: 2
machine_rank: 0
main_training_function: main
mixed_precision: bf16
num_machines: 1
num_processes: 4
rdzv_backend: static
same_network: true
use_cpu: false
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("distributed_type: FSDP\n", "fsdp_version: 1 is not supported; a fit splits the model with fsdp_version: 2$"),
        ("distributed_type: FSDP\nfsdp_config: {fsdp_version: 1}\n", "fsdp_version: 1 is not supported"),
        (
            "distributed_type: FSDP\nfsdp_config: {fsdp_version: 2, fsdp_offload_params: true}\n",
            "fsdp_offload_params: true is not supported",
        ),
        (
            "distributed_type: FSDP\nfsdp_config: {version: 2, activation_checkpointing: true}\n",
            "fsdp_activation_checkpointing: true is not supported.*; set training.gradient_checkpointing = true",
        ),
        (
            "distributed_type: FSDP\nfsdp_config: {fsdp_version: 2}\nparallelism_config: {tp_size: 2}\n",
            "parallelism_config splits the model",
        ),
        (
            "distributed_type: MULTI_GPU\nuse_cpu: true\nfsdp_config: {fsdp_version: 2}\n",
            "fsdp_config splits the model",
        ),
        ("distributed_type: DEEPSPEED\n", "distributed_type: DEEPSPEED splits"),
        ("distributed_type: MEGATRON_LM\n", "distributed_type: MEGATRON_LM splits"),
        ("- a list\n", "not a configuration of accelerate"),
        ("a: [\n", "not a YAML file"),
    ],
)
def test_another_way_of_splitting_a_model_is_refused_in_one_line(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "launch.yaml").write_text(text)
    with pytest.raises(InputError, match=f"launch.yaml: {said}") as caught:
        launch_at(tmp_path / "launch.yaml")
    assert "\n" not in str(caught.value)


def test_what_accelerate_itself_writes_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "default.yaml").write_text(WRITTEN_BY_ACCELERATE)
    launch = launch_at(tmp_path / "default.yaml")
    told = yaml.safe_load(launch.text)
    assert launch.split
    assert told["distributed_type"] == "MULTI_GPU"
    assert told["num_processes"] == 4
    assert not [name for name in told if "fsdp" in name]


@pytest.mark.parametrize("name", sorted(path.name for path in CARRIED.iterdir()))
def test_the_carried_configurations_are_accepted(name: str) -> None:
    launch = launch_at(CARRIED / name)
    assert launch.split == (name == "split.yaml")
    assert launch.split or launch.text == (CARRIED / name).read_text()
