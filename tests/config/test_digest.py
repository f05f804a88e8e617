"""The digest of a config counts every value, and files by their content."""

from support.jobs import job

from resnetctl.config.digest import config_sha256
from resnetctl.config.schema import FinetuneConfig, ProgressiveConfig


def test_the_config_digest_counts_weights_by_content() -> None:
    first = FinetuneConfig(weights="/a/model.safetensors")
    second = FinetuneConfig(weights="/b/model.safetensors")
    assert config_sha256(first, "x") == config_sha256(second, "x")
    assert config_sha256(first, "x") != config_sha256(first, "y")
    assert config_sha256(first, "x") != config_sha256(first.model_copy(update={"lr": 9.0}), "x")


def test_the_config_digest_counts_every_value_and_weights_by_content() -> None:
    plain = job().config
    growing = plain.model_copy(update={"progressive": ProgressiveConfig(initial_scale=0.5)})
    assert (
        len({config_sha256(plain), config_sha256(growing), config_sha256(plain, "a"), config_sha256(plain, "b")}) == 4
    )
    started = [FinetuneConfig(**plain.model_dump(), weights=path) for path in ("here", "there")]
    assert config_sha256(started[0], "a") == config_sha256(started[1], "a")


def test_the_arguments_are_part_of_the_experiment() -> None:
    plain, other = job().config, job().config.model_copy(deep=True)
    changed = other.model_copy(update={"schedule": other.schedule.model_copy(update={"args": {"power": 2}})})
    assert config_sha256(plain) == config_sha256(other)
    assert config_sha256(plain) != config_sha256(changed)


def test_a_cuda_graph_does_not_belong_to_the_digest_of_the_config() -> None:
    config = job().config
    assert config.graph == "off"
    assert config_sha256(config) == config_sha256(config.model_copy(update={"graph": "step"}))


def test_a_window_of_blocks_belongs_to_the_digest_where_it_decides_the_order() -> None:
    config = job().config
    wider = config.model_copy(update={"shuffle_window": 9})
    assert config_sha256(config) == config_sha256(wider)
    windowed, wider = (one.model_copy(update={"sampler": "windowed"}) for one in (config, wider))
    assert len({config_sha256(one) for one in (config, windowed, wider)}) == 3


def test_shards_belong_to_the_digest_of_the_config() -> None:
    assert config_sha256(job().config) != config_sha256(job("shards=2").config)
