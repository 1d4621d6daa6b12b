"""What a corpus holds of a text, against counting by hand; block borders, document borders, every corner."""

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from minigpt.models.gpt import GPT
from minigpt.render.machine import to_json
from minigpt.text import occurrences
from minigpt.text.occurrences import OUTSIDE, followers, most_frequent, nested
from minigpt.text.occurrences import verbatim_spans as find_spans
from minigpt.text.records import CorpusText
from minigpt.text.shards import Shards
from minigpt.text.tokenizer import Tokenizer
from minigpt.views.corpus import CorpusStep, corpus_step, verbatim

BORDER = 9
DTYPES = [np.dtype("<u2"), np.dtype("<u4")]
TEXT = CorpusText(name="notes.txt", part="whole text", tokens=0)


@pytest.fixture(params=[1, 7, 1 << 16], ids=["a token", "seven tokens", "as usual"])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The size of a block, so that matches run across borders of blocks; of pairs, a few at once."""
    monkeypatch.setattr(occurrences, "_BLOCK", request.param)
    monkeypatch.setattr(occurrences, "_PAIRS", 4)
    return request.param


def ids(count: int, kinds: int, seed: int) -> list[int]:
    source = random.Random(seed)
    return [source.randrange(kinds) for _ in range(count)]


def counted_by_hand(corpus: Sequence[int], suffix: Sequence[int]) -> Counter[int]:
    """Every place where `suffix` stands, by what stands behind it."""
    padded = [*corpus, OUTSIDE]
    n = len(suffix)
    return Counter(padded[i + n] for i in range(len(corpus) - n + 1) if padded[i : i + n] == list(suffix))


def spans_by_hand(corpus: Sequence[int], text: Sequence[int], at_least: int) -> list[tuple[int, int, int]]:
    """Every span of the text that is in the corpus and in no longer one that is."""
    found = {
        (i, j): count
        for i in range(len(text))
        for j in range(i + at_least, len(text) + 1)
        if BORDER not in text[i:j] and (count := counted_by_hand(corpus, text[i:j]).total())
    }
    return [
        (i, j - i, count)
        for (i, j), count in sorted(found.items())
        if not any(a <= i and j <= b and (a, b) != (i, j) for a, b in found)
    ]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("seed", range(6))
def test_every_suffix_is_counted_as_by_hand(block: int, dtype: np.dtype, seed: int) -> None:
    corpus, prompt = ids(60, 3, seed), ids(1 + seed * 2, 3, 100 + seed)
    rows = nested(followers(np.array(corpus, dtype), prompt))
    for tokens in range(1, len(prompt) + 1):
        by_hand = counted_by_hand(corpus, prompt[-tokens:])
        row = next((found for depth, found in rows if depth >= tokens), Counter())
        assert row == by_hand
    assert [depth for depth, _ in rows] == sorted({depth for depth, _ in rows})


def test_of_suffixes_with_the_same_places_only_the_longest_is_listed() -> None:
    rows = nested(followers(np.array([1, 2, 3, 4, 3, 5], np.uint16), [1, 2, 3]))
    assert [(depth, found.total()) for depth, found in rows] == [(1, 2), (3, 1)]


def test_occurrences_may_overlap(block: int) -> None:
    corpus = np.array([5] * 20, np.uint16)
    rows = nested(followers(corpus, [5, 5, 5]))
    assert rows == [
        (1, Counter({5: 19, OUTSIDE: 1})),
        (2, Counter({5: 18, OUTSIDE: 1})),
        (3, Counter({5: 17, OUTSIDE: 1})),
    ]


def test_the_last_token_of_the_corpus_is_followed_by_nothing(block: int) -> None:
    assert followers(np.array([1, 2], np.uint16), [2]) == {1: Counter({OUTSIDE: 1})}


@pytest.mark.parametrize("corpus", [[], [7], [7, 7]], ids=["empty", "one", "two"])
def test_a_prompt_may_be_longer_than_the_corpus(block: int, corpus: list[int]) -> None:
    assert followers(np.array(corpus, np.uint16), [1, 2, 3, 4, 5]) == {}
    assert find_spans(np.array(corpus, np.uint16), [1, 2, 3, 4, 5], 2, BORDER) == []


def test_no_match_runs_across_a_document_border(block: int) -> None:
    corpus = np.array([1, 2, BORDER, 3, 4], np.uint16)
    assert set(followers(corpus, [1, 2, 3, 4])) == {2}
    assert find_spans(corpus, [1, 2, 3, 4], 2, BORDER) == [(0, 2, 1), (2, 2, 1)]
    assert find_spans(corpus, [1, 2, BORDER, 3, 4], 2, BORDER) == [(0, 2, 1), (3, 2, 1)]
    assert find_spans(corpus, [1, 2, BORDER, 3, 4], 3, BORDER) == []


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("at_least", [2, 3, 5, 8])
@pytest.mark.parametrize("seed", range(4))
def test_spans_are_those_found_by_hand(block: int, dtype: np.dtype, at_least: int, seed: int) -> None:
    corpus, text = ids(150, 3, seed), ids(24, 3, 50 + seed)
    text[6:16] = corpus[40:50]
    text[20] = BORDER if seed % 2 else text[20]
    found = find_spans(np.array(corpus, dtype), text, at_least, BORDER)
    assert found == spans_by_hand(corpus, text, at_least)
    assert found


def test_tokens_are_compared_even_where_hashes_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    def all_alike(ids: np.ndarray, n: int) -> np.ndarray:
        return np.zeros(max(0, len(ids) - n + 1), np.uint32)

    monkeypatch.setattr(occurrences, "_hashes", all_alike)
    corpus, text = ids(80, 3, 1), ids(20, 3, 2)
    assert find_spans(np.array(corpus, np.uint16), text, 3, BORDER) == spans_by_hand(corpus, text, 3)


def test_equal_ngrams_have_equal_hashes_and_others_seldom() -> None:
    corpus = np.array(ids(3000, 3, 1), np.int32)
    for n in range(1, 14):
        hashes = occurrences._hashes(corpus, n)
        grams = [tuple(corpus[i : i + n].tolist()) for i in range(len(corpus) - n + 1)]
        assert len(hashes) == len(grams)
        assert len(set(zip(grams, hashes.tolist(), strict=True))) == len(set(grams))  # one hash each
        assert len(set(hashes.tolist())) == len(set(grams))


def test_a_run_of_one_token_is_one_span(block: int) -> None:
    assert find_spans(np.array([4] * 30, np.uint16), [1, *[4] * 12, 2], 5, BORDER) == [(1, 12, 19)]


def test_shards_are_read_a_block_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = ids(5000, 4, 3)
    for number, start in enumerate((0, 1234, 3000)):
        part = corpus[start : (1234, 3000, 5000)[number]]
        (tmp_path / f"{number}.bin").write_bytes(np.array(part, "<u2").tobytes())
    shards = Shards([tmp_path / f"{number}.bin" for number in range(3)], np.dtype("<u2"))
    read: list[int] = []

    class Watched(Shards):
        def __getitem__(self, index: slice | np.ndarray) -> np.ndarray:
            found = shards[index]
            read.append(len(found))
            return found

    monkeypatch.setattr(occurrences, "_BLOCK", 100)
    watched = Watched([tmp_path / f"{number}.bin" for number in range(3)], np.dtype("<u2"))
    text = corpus[1220:1250]
    found = followers(watched, text)
    assert (len(text), Counter({corpus[1250]: 1})) in nested(found)
    assert (0, 30, 1) in find_spans(watched, text, 12, BORDER)
    assert max(read) <= 100 + len(text) + 1  # a block and its neighbours, however long the corpus
    assert sum(read) >= 2 * len(corpus)


def test_the_most_frequent_come_first_the_lowest_id_among_equals() -> None:
    assert most_frequent(Counter({7: 2, 3: 2, 5: 9, 1: 1}), 3) == [5, 3, 7]


# --- beside the model


def beside(model: GPT, tokenizer: Tokenizer, prompt: str, corpus: str, **options: int | None) -> CorpusStep:
    ids, found = tokenizer.encode_documents([corpus]), tokenizer.encode(prompt)
    return corpus_step(model, tokenizer, found, ids, TEXT, **{"top": 5, "suffix": None, **options})


def test_both_columns_add_up(model: GPT, bpe: Tokenizer, corpus: str) -> None:
    for prompt in ("The quick brown", "mind the", " dog", "quantum the fox"):
        record = beside(model, bpe, prompt, corpus)
        for name in ("raw_prob", "corpus_share"):
            total = sum(getattr(c, name) for c in record.candidates) + getattr(record.other, name)
            assert total == pytest.approx(1, abs=1e-9)
        assert record.suffix is not None
        assert sum(c.corpus_count for c in record.candidates) + record.other.corpus_count == record.suffix.followed
        assert len(record.candidates) + record.other.count == bpe.vocab_size


def test_what_the_corpus_has_is_listed_whatever_the_model_expects(
    bpe: Tokenizer, constant_model: Callable[..., GPT]
) -> None:
    q, u, z = bpe.encode("quz")
    logits = [5.0] * 3 + [0.0] * (bpe.vocab_size - 3)
    logits[u] = -9.0
    record = beside(constant_model(logits), bpe, "zq", "quququqz", top=2)
    assert [c.id for c in record.candidates] == [0, 1, *sorted((z, u), key=lambda i: (-logits[i], i))]
    by_id = {c.id: c for c in record.candidates}
    assert (by_id[u].corpus_count, by_id[z].corpus_count) == (3, 1)
    assert by_id[u].rank == bpe.vocab_size
    assert by_id[0].corpus_share == 0
    assert record.other.corpus_count == 0
    assert q not in by_id


def test_the_divergence_is_the_models_cost_above_the_corpuss_entropy(
    bpe: Tokenizer, constant_model: Callable[..., GPT]
) -> None:
    _, u, z = bpe.encode("quz")
    model = constant_model([0.0] * bpe.vocab_size)
    record = beside(model, bpe, "q", "quququqz")
    share = record.suffixes[0]
    entropy = -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))
    assert share.divergence_bits == pytest.approx(math.log2(bpe.vocab_size) - entropy)
    assert share.likeliest is not None
    assert (share.likeliest.id, share.likeliest_share, share.next_tokens) == (u, 0.75, 2)
    exact = [-1000.0] * bpe.vocab_size
    exact[u], exact[z] = math.log(3), 0.0
    same = beside(constant_model(exact), bpe, "q", "quququqz").suffixes[0].divergence_bits
    assert same == pytest.approx(0, abs=1e-6)


def test_a_shorter_suffix_may_be_asked_for(model: GPT, bpe: Tokenizer) -> None:
    prompt, corpus = "abc", "abcxbcycz"
    tokens = [beside(model, bpe, prompt, corpus, suffix=n).suffix.tokens for n in (1, 2, 3, 99)]
    assert tokens == [1, 2, 3, 3]
    assert beside(model, bpe, prompt, corpus).suffix.tokens == 3


def test_where_nothing_follows_the_longest_a_shorter_one_is_compared(model: GPT, bpe: Tokenizer) -> None:
    record = beside(model, bpe, "xab", "zb+ab")
    assert [(s.tokens, s.occurrences, s.followed) for s in record.suffixes] == [(1, 2, 1), (2, 1, 0)]
    assert record.suffix == record.suffixes[0]
    assert record.suffixes[1].likeliest is None


def test_a_last_token_that_is_nowhere_leaves_nothing_to_compare(model: GPT, bpe: Tokenizer) -> None:
    record = beside(model, bpe, "q", "abc")
    assert (record.suffix, record.suffixes) == (None, ())
    assert {c.corpus_share for c in record.candidates} == {None}
    assert record.other.corpus_share is None
    assert '"suffix": null' in to_json(record)


def test_the_models_side_is_that_of_the_plain_list(model: GPT, bpe: Tokenizer, corpus: str) -> None:
    from minigpt.views.probs import next_token

    record = beside(model, bpe, "The quick", corpus, top=bpe.vocab_size)
    plain = next_token(model, bpe, bpe.encode("The quick"), top=bpe.vocab_size)
    assert [(c.id, c.raw_prob, c.rank) for c in record.candidates] == [
        (c.id, c.raw_prob, c.rank) for c in plain.candidates
    ]
    assert (record.entropy_bits, record.position) == (plain.entropy_bits, plain.position)


# --- of a sample


def report(tokenizer: Tokenizer, ids: list[int], corpus: str, at_least: int = 3):
    whole = tokenizer.encode_documents([corpus])
    return verbatim(tokenizer, ids, whole, TEXT, at_least=at_least, position=10, sample=2)


def test_the_pieces_are_the_whole_sample(char: Tokenizer) -> None:
    found = report(char, char.encode("qqq the lazy qqq速い茶 qq"), "over the lazy dog 速い茶色")
    assert [(piece.text, piece.verbatim) for piece in found.pieces] == [
        ("qqq", False),
        (" the lazy ", True),
        ("qqq", False),
        ("速い茶", True),
        (" qq", False),
    ]
    assert (found.sampled_tokens, found.verbatim_tokens) == (22, 13)
    assert found.longest == found.spans[0]
    assert [(span.position, span.tokens, span.text, span.occurrences) for span in found.spans] == [
        (13, 10, " the lazy ", 1),
        (26, 3, "速い茶", 1),
    ]


def test_a_character_is_never_divided(char: Tokenizer) -> None:
    """An unknown one has a token a byte, of which the first two stand in the corpus with what is before."""
    found = report(char, char.encode("xab\U0001f995"), "ab\U0001f996")
    assert "".join(piece.text for piece in found.pieces) == "xab\U0001f995"
    assert found.spans[0].text is None
    assert bytes.fromhex(found.spans[0].bytes) == b"ab" + "\U0001f995".encode()[:3]


def test_the_end_of_text_that_ends_a_sample_is_none_of_it(char: Tokenizer) -> None:
    found = report(char, [*char.encode("the fox"), char.end_of_text], "the fox")
    assert (found.sampled_tokens, found.verbatim_tokens) == (7, 7)
    assert report(char, [char.end_of_text], "the fox").spans == ()
    assert report(char, [char.end_of_text], "the fox").longest is None


def test_spans_that_overlap_count_once(char: Tokenizer) -> None:
    found = report(char, char.encode("abcdef"), "abcd-cdef", at_least=2)
    assert [(span.position - 10, span.tokens) for span in found.spans] == [(0, 4), (2, 4)]
    assert found.verbatim_tokens == 6
