"""What a time budget chooses: the law's best, within what the user said; how its schedule is paced."""

from dataclasses import replace

import pytest

from minigpt.errors import ConfigError
from minigpt.settings import Choices, ModelConfig, TrainConfig
from minigpt.training.pace import adamw_rate, chosen_by, paced
from minigpt.training.records import PlannedRun
from minigpt.training.search import SHAPES, Search, TextSize, _smaller_first, tokens_per_step
from minigpt.training.speed import GPU_TOKENS, Speed, heads_of, training_flops_per_token

LENGTHS = {512: 1.95, 1024: 2.5, 2048: 2.9, 4096: 3.2}
LAPTOP = Speed(((64, 60e9), (128, 100e9), (256, 170e9)))


def plan(
    utf8_bytes: int = 1_000_000, seconds: float = 180.0, speed: Speed = LAPTOP, **said: object
) -> list[PlannedRun]:
    text = TextSize(utf8_bytes, utf8_bytes, LENGTHS)
    return Search(Choices(**said), text, speed, seconds).runs()  # type: ignore[arg-type]


def test_the_best_comes_first_and_fits_into_the_time() -> None:
    runs = plan()
    expected = [run.expected_bits_per_byte for run in runs]
    assert expected == sorted(expected)
    for run in runs:
        assert run.tokens <= 180 * run.tokens_per_second
        assert run.steps * run.batch_size * run.context == pytest.approx(run.tokens, rel=0.02)
        assert run.epochs == pytest.approx(run.tokens * run.bytes_per_token / 1_000_000)


def test_more_time_buys_a_larger_model_and_so_does_a_faster_machine() -> None:
    widths = [plan(5_000_000, seconds)[0].width for seconds in (10, 180, 3600)]
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]
    fast = Speed(tuple((width, 20 * flops) for width, flops in LAPTOP.points))
    assert plan(5_000_000, speed=fast)[0].width > plan(5_000_000)[0].width


def test_no_more_time_is_used_than_is_good_for_the_text() -> None:
    assert plan(50_000_000, 300.0)[0].share == 1
    assert plan(100_000, 3600.0)[0].share < 0.5


def test_no_model_is_larger_for_its_text_than_any_that_was_measured() -> None:
    assert max(12 * run.layers * run.width**2 / 100_000 for run in plan(100_000)) < 46


@pytest.mark.parametrize(
    ("said", "is_so"),
    [
        ({"width": 192}, lambda run: (run.width, run.heads) == (192, 6)),
        ({"width": 100, "heads": 5}, lambda run: (run.width, run.heads) == (100, 5)),
        ({"layers": 3}, lambda run: run.layers == 3),
        ({"tokenizer": "char"}, lambda run: run.tokenizer == "char"),
        ({"tokenizer": "bpe"}, lambda run: run.tokenizer == "bpe"),
        ({"vocab_size": 2048}, lambda run: (run.tokenizer, run.vocab_size) == ("bpe", 2048)),
        ({"preset": "micro"}, lambda run: (run.layers, run.width) == (5, 256)),
        ({"dropout": 0.3}, lambda run: run.dropout == 0.3),
        ({"context": 64}, lambda run: run.context == 64),
        ({"batch_size": 5}, lambda run: run.batch_size == 5),
    ],
)
def test_what_the_user_said_holds_in_every_candidate(said: dict[str, object], is_so: object) -> None:
    runs = plan(**said)
    assert runs
    assert all(is_so(run) for run in runs)  # type: ignore[operator]


def test_choices_are_complete_and_keep_what_was_said() -> None:
    choices = chosen_by(plan(width=192)[0], Choices(width=192, learning_rate=0.5))
    assert None not in (choices.tokenizer, choices.layers, choices.heads, choices.context, choices.dropout)
    assert (choices.width, choices.learning_rate) == (192, 0.5)
    assert chosen_by(plan(tokenizer="char")[0], Choices()).vocab_size is None


def test_a_text_that_is_often_repeated_gets_more_weight_decay() -> None:
    assert plan(50_000_000, 300.0)[0].weight_decay == TrainConfig.weight_decay
    assert plan(100_000, 3600.0)[0].weight_decay > TrainConfig.weight_decay


@pytest.mark.parametrize(("utf8_bytes", "most"), [(30_000, 1.6), (300_000, 0.6), (2_000_000, 0.3), (50_000_000, 0.3)])
def test_the_longer_a_text_the_less_weight_decay_is_tried(utf8_bytes: int, most: float) -> None:
    runs = plan(utf8_bytes, 3600.0)
    assert max(run.weight_decay for run in runs) <= most
    assert max(run.weight_decay for run in runs if run.dropout or run.tokenizer == "char") <= 0.3


def test_what_was_given_is_kept_though_it_is_more_than_is_tried() -> None:
    search = Search(Choices(dropout=0.4), TextSize(2_000_000, 2_000_000, LENGTHS), LAPTOP, 180.0)
    assert {(run.dropout, run.weight_decay) for run in search.runs(weight_decay=1.0)} == {(0.4, 1.0)}


@pytest.mark.parametrize(
    ("bits", "chosen", "others"),
    [
        ({(6, 384): 2.0, (5, 256): 2.01, (4, 192): 2.002, (8, 512): 2.005}, (5, 256), []),  # at most a size smaller
        ({(6, 384): 2.0, (5, 256): 2.02, (4, 192): 2.002}, (6, 384), [(4, 192), (5, 256)]),
        ({(5, 256): 2.0, (4, 192): 2.01, (6, 384): 2.02}, (4, 192), [(6, 384)]),
        ({(2, 64): 2.0, (3, 96): 2.001}, (2, 64), [(3, 96)]),
    ],
)
def test_of_two_models_that_are_expected_to_be_equally_good_the_smaller_is_chosen(
    bits: dict[tuple[int, int], float], chosen: tuple[int, int], others: list[tuple[int, int]]
) -> None:
    """And none is left in the list that is expected to be better than the chosen one."""
    runs = [
        replace(plan()[0], layers=layers, width=width, expected_bits_per_byte=each)
        for (layers, width), each in bits.items()
    ]
    assert [(run.layers, run.width) for run in _smaller_first(runs)] == [chosen, *others]


def test_heads_that_divide_no_width_are_refused() -> None:
    with pytest.raises(ConfigError, match="heads=7 divides no width"):
        plan(heads=7)


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(ConfigError, match="preset= must be"):
        plan(preset="huge")


def test_batches_are_divided_among_processes() -> None:
    run = plan(speed=Speed(LAPTOP.points, processes=3))[0]
    assert run.batch_size % 3 == 0
    assert run.tokens_per_second == pytest.approx(
        3 * LAPTOP.tokens_per_second(shape(run), run.batch_size * run.context / 3), rel=0.05
    )


def shape(run: PlannedRun) -> ModelConfig:
    return ModelConfig(
        vocab_size=run.vocab_size, context=run.context, layers=run.layers, heads=run.heads, width=run.width
    )


GPU = Speed(((64, 2e13), (128, 5e13), (256, 1e14), (768, 3e14)), seconds_a_layer=0.002)


@pytest.mark.parametrize("utf8_bytes", [100_000, 1_000_000, 50_000_000, 2_000_000_000])
@pytest.mark.parametrize("seconds", [60.0, 180.0, 3600.0])
def test_what_is_planned_for_a_gpu_fits_into_its_time(utf8_bytes: int, seconds: float) -> None:
    for run in plan(utf8_bytes, seconds, GPU):
        at_once = run.batch_size * run.context
        passes = run.steps * run.accumulation
        least = passes * max(0.002 * run.layers, at_once / GPU.tokens_per_second(shape(run)))
        assert least <= max(run.share * seconds, 1.1 * least / run.steps)
        assert at_once <= GPU_TOKENS
        assert passes * at_once == pytest.approx(run.tokens, rel=0.02, abs=at_once * run.accumulation)


def test_a_gpu_has_larger_steps_the_more_of_them_there_are() -> None:
    best = [plan(2_000_000_000, seconds, GPU, width=128)[0] for seconds in (2.0, 60.0, 3600.0, 36_000.0)]
    step_tokens = [run.batch_size * run.accumulation * run.context for run in best]
    assert step_tokens == sorted(step_tokens)
    assert step_tokens[0] < step_tokens[-1]
    assert step_tokens[-1] > GPU_TOKENS  # so large a step is done in parts, as the memory of more was not seen


@pytest.mark.parametrize(
    ("tokens", "of_a_step"), [(1e5, 1024), (2e6, 1024), (2.1e6, 2048), (8e6, 2048), (8.1e6, 4096), (1e12, 65536)]
)
def test_longer_trainings_take_larger_steps(tokens: float, of_a_step: int) -> None:
    assert tokens_per_step(tokens) == of_a_step


def test_what_is_good_for_a_text_is_counted_in_steps_and_all_else_in_seconds() -> None:
    short, long = plan(100_000, 3600.0)[0], plan(50_000_000, 300.0)[0]
    assert paced(short, TrainConfig(), 3600.0).steps_suffice
    assert paced(short, TrainConfig(), 3600.0).steps == short.steps
    assert paced(short, TrainConfig(), 3600.0).seconds == 3600.0
    assert not paced(long, TrainConfig(), 300.0).steps_suffice


def test_accumulated_batches_make_fewer_steps_of_as_many_tokens() -> None:
    run = plan()[0]
    train = paced(run, TrainConfig(accumulation=4), 180.0, explicit={"accumulation"})
    assert (train.accumulation, train.steps) == (4, round(run.tokens / (4 * run.batch_size * run.context)))


def test_the_pace_leaves_what_was_given() -> None:
    run = plan()[0]
    train = paced(run, TrainConfig(eval_every=7, weight_decay=0.7), 120.0, explicit={"eval_every", "weight_decay"})
    assert (train.seconds, train.steps, train.eval_every, train.weight_decay) == (120.0, run.steps, 7, 0.7)
    assert paced(run, TrainConfig(weight_decay=0.7), 120.0).weight_decay == run.weight_decay
    assert paced(run, TrainConfig(), 120.0).eval_every == run.steps // 10


def test_the_ladder_grows() -> None:
    work = [layers * width**2 for layers, width in SHAPES]
    assert work == sorted(work)
    for _, width in SHAPES:
        assert width % heads_of(width) == 0
    assert [heads_of(width) for width in (64, 100, 128, 256, 768)] == [2, 2, 4, 4, 12]
    assert adamw_rate(128) == 6e-3
    assert adamw_rate(512) == 3e-3


def test_flops_are_six_per_weight_and_attentions() -> None:
    run = plan(preset="nano", vocab_size=1024)[0]
    weights = 12 * 4 * 128 * 128 + 1024 * 128
    assert training_flops_per_token(shape(run)) == 6 * weights + 12 * 4 * 128 * 128


def test_a_narrow_model_has_the_larger_vocabularies() -> None:
    sizes: dict[int, set[int]] = {}
    for run in plan(337_000, tokenizer="bpe"):  # whose root is 581
        sizes.setdefault(run.width, set()).add(run.vocab_size)
    assert sizes[64] == sizes[96] == {2048}
    assert sizes[128] == sizes[256] == {1024, 2048}


def test_no_vocabulary_is_larger_for_its_text_than_those_that_were_measured() -> None:
    def largest(utf8_bytes: int) -> int:
        text = TextSize(utf8_bytes, utf8_bytes, {512: 1.95, 1024: 2.4, 2048: 2.9, 4096: 3.2, 8192: 3.4})
        return max(run.vocab_size for run in Search(Choices(tokenizer="bpe"), text, LAPTOP, 180.0).runs())

    assert [largest(size) for size in (1_000, 100_000, 1_003_854, 5_000_000)] == [512, 1024, 4096, 8192]
