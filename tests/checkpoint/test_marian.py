"""A Transformer as a Hugging Face Marian folder: transformers loads it and computes the same, and the way back."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from minigpt.checkpoint.folder import load, save_description, save_weights
from minigpt.errors import CheckpointError
from minigpt.models.decoder import decoder_for
from minigpt.models.encoder_decoder import PADDING
from minigpt.models.kinds import new_model
from minigpt.models.transformer import Transformer
from minigpt.sampling.beam import beam_search
from minigpt.sampling.engine import generate
from minigpt.sampling.records import StepRecord
from minigpt.settings import ModelConfig, SampleConfig
from minigpt.text.learning import ending_texts, train_tokenizer
from minigpt.text.tokenizer import Tokenizer
from minigpt.text.translations import translations

SOURCES = [each.source for each in translations(20)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    texts = [text for each in translations(500) for text in (each.source, each.target)]
    return ending_texts(train_tokenizer("bpe", texts, 400))


@pytest.fixture(scope="module")
def ours(tokenizer: Tokenizer) -> Transformer:
    """Random weights, large enough that the targets of different sources differ."""
    size = tokenizer.vocab_size
    config = ModelConfig(
        model="transformer", vocab_size=size, context=64, layers=2, heads=2, width=16, inner_width=40,
        activation="relu", end=tokenizer.end_of_text,
    )  # fmt: skip
    model, generator = new_model(config), torch.Generator().manual_seed(3)
    assert isinstance(model, Transformer)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            is_gain = ".ln_" in name and name.endswith("weight")
            parameter.normal_(1.0 if is_gain else 0.0, 0.3, generator=generator)
        model.wte.weight[tokenizer.end_of_text] *= 2  # so that some targets end
    return model.eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, ours: Transformer, tokenizer: Tokenizer) -> Path:
    """Not to be changed."""
    path = tmp_path_factory.mktemp("marian")
    save_description(path, ours.config, tokenizer, torch.float32)
    save_weights(path, ours)
    return path


@pytest.fixture(scope="module")
def theirs(folder: Path) -> Any:
    return transformers.AutoModelForSeq2SeqLM.from_pretrained(folder).eval()


@pytest.fixture(scope="module")
def their_tokenizer(folder: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(folder)


def test_transformers_reads_a_source_as_we_do(their_tokenizer: Any, tokenizer: Tokenizer) -> None:
    for source in SOURCES:
        assert their_tokenizer(source).input_ids == tokenizer.encode_prompt(source).ids
    assert their_tokenizer.pad_token_id == their_tokenizer.eos_token_id == tokenizer.end_of_text


@torch.no_grad()
def test_the_logits_are_the_same_padded_and_alone(
    ours: Transformer, theirs: Any, their_tokenizer: Any, tokenizer: Tokenizer
) -> None:
    assert type(theirs) is transformers.MarianMTModel
    batch = their_tokenizer(SOURCES, return_tensors="pt", padding=True)
    inputs = torch.randint(ours.config.vocab_size, (20, 7), generator=torch.Generator().manual_seed(1))
    inputs[:, 0] = tokenizer.end_of_text
    expected = theirs(**batch, decoder_input_ids=inputs).logits
    source = batch.input_ids.masked_fill(batch.attention_mask == 0, PADDING)
    torch.testing.assert_close(ours(source, inputs).view(20, 7, -1), expected, atol=1e-4, rtol=0)
    for number in (0, 7):
        ids = torch.tensor([tokenizer.encode_prompt(SOURCES[number]).ids])
        found = ours(torch.cat([ids, inputs[number : number + 1, 1:]], dim=1))[:, ids.size(1) - 1 :]
        torch.testing.assert_close(found[0], expected[number], atol=1e-4, rtol=0)


def test_the_greedy_targets_are_the_same(
    ours: Transformer, theirs: Any, their_tokenizer: Any, tokenizer: Tokenizer
) -> None:
    together = theirs.generate(
        **their_tokenizer(SOURCES, return_tensors="pt", padding=True), num_beams=1, do_sample=False
    )
    config = SampleConfig(temperature=0.0, max_tokens=63)
    for source, of_batch in zip(SOURCES, together.tolist(), strict=True):
        records = [piece.record for piece in generate(ours, tokenizer, source, config)]
        ids = [record.token.id for record in records if isinstance(record, StepRecord) and record.token]
        alone = theirs.generate(**their_tokenizer(source, return_tensors="pt"), num_beams=1, do_sample=False)
        assert alone[0].tolist() == [tokenizer.end_of_text, *ids]
        assert of_batch[: 1 + len(ids)] == alone[0].tolist()


@pytest.mark.parametrize("width", [1, 2, 5])
def test_all_hypotheses_of_a_beam_search_are_the_same(
    ours: Transformer, theirs: Any, their_tokenizer: Any, tokenizer: Tokenizer, width: int
) -> None:
    ended = 0
    for source in SOURCES[:10]:
        found = beam_search(
            decoder_for(ours), tokenizer.encode_prompt(source).ids, tokenizer.end_of_text, width, max_tokens=63
        )
        more = {"num_return_sequences": width, "return_dict_in_generate": True, "output_scores": True}
        expected = theirs.generate(
            **their_tokenizer(source, return_tensors="pt"), num_beams=width, do_sample=False, **more
        )
        for number, each in enumerate(found):
            ids = expected.sequences[number].tolist()
            assert ids[1 : 1 + len(each.ids)] == list(each.ids), source
            assert set(ids[1 + len(each.ids) :]) <= {tokenizer.end_of_text}  # padding
            if width > 1:
                assert float(expected.sequences_scores[number]) == pytest.approx(each.score, abs=1e-4)
            ended += each.stopped_by == "end-of-text"
        assert len(found) == width
    assert ended > 0


def test_what_transformers_saves_is_loaded_again(
    tmp_path: Path, ours: Transformer, theirs: Any, their_tokenizer: Any
) -> None:
    theirs.save_pretrained(tmp_path / "back")
    their_tokenizer.save_pretrained(tmp_path / "back")
    loaded = load(tmp_path / "back").torch_model
    assert loaded.config == ours.config
    for name, weight in ours.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], weight, atol=0, rtol=0)


def test_our_own_folder_is_loaded_again(folder: Path, ours: Transformer) -> None:
    loaded = load(folder).torch_model
    assert loaded.config == ours.config
    assert all(weight.equal(loaded.state_dict()[name]) for name, weight in ours.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"activation_function": "gelu"}, "activation_function"),
        ({"activation_function": None}, "activation_function"),
        ({"scale_embedding": False}, "scale_embedding"),
        ({"share_encoder_decoder_embeddings": False}, "share_encoder_decoder_embeddings"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings"),
        ({"decoder_layers": 3}, "decoder_layers"),
        ({"decoder_attention_heads": 4}, "decoder_attention_heads"),
        ({"decoder_ffn_dim": 64}, "decoder_ffn_dim"),
        ({"decoder_start_token_id": 0}, "decoder_start_token_id"),
        ({"d_model": 15}, "d_model"),
        ({"encoder_layers": 0}, "encoder_layers"),
        ({"encoder_layers": 10**9, "decoder_layers": 10**9}, "has 2 layers, but config.json says encoder_layers"),
        ({"vocab_size": "many"}, "vocab_size"),
    ],
    ids=str,
)
def test_another_configuration_is_refused_by_the_name_of_its_field(
    tmp_path: Path, folder: Path, changes: dict[str, Any], message: str
) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")
    with pytest.raises(CheckpointError) as caught:
        load(tmp_path)
    if changes != {"d_model": 15}:
        assert message in caught.value.message.splitlines()[0]
    assert "config.json" in caught.value.message


def test_a_bias_of_the_output_is_refused_unless_it_is_zero(tmp_path: Path, folder: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tensors = load_file(folder / "model.safetensors")
    assert not tensors["final_logits_bias"].any()
    tensors["final_logits_bias"][0, 3] = 0.5
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="final_logits_bias is not zero, and these models have no such bias"):
        load(tmp_path)


def test_a_weight_that_is_missing_is_named(tmp_path: Path, folder: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.decoder.layers.1.encoder_attn.k_proj.weight"]
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"encoder_attn\.k_proj\.weight"):
        load(tmp_path)
