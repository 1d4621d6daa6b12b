#!/usr/bin/env bash
# tokie 0.1.4, tokenizers 0.23.3 (Python 3.11): the drop-in replacement guesses at a tokenizer, and can double its letters.
#
# tokie reads "any HuggingFace tokenizer", its page says, and is "100% token-accurate". From tokenizer.json it takes the
# vocabulary and the merges; the rest it takes for that of one of the models it knows. A pattern that is nearly Llama 3's
# becomes Llama 3's, Lowercase removes accents as BERT does, a Replace, a ByteLevel that cuts no words and a template that
# adds an end of text are left out. Where the merges are of plain letters, with words cut at blanks, letters are lost and
# others come twice. Nothing is refused, and no warning is given.
#
# Expected: the tokens of the tokenizers library, or a refusal. Output seen:
#   as GPT-2: the same
#   as Llama 3: the same
#   Lowercase: the ĠcafÃ© Ġof Ġ1905 became the Ġcaf e Ġof Ġ1905
#   Replace("of", "in"): The ĠcafÃ© Ġin Ġ1905 became The ĠcafÃ© Ġ o f Ġ1905
#   words not cut: TheĠcafÃ©ĠofĠ1905 became Th e Ġ caf Ã © Ġ o f Ġ 1905
#   up to four digits: The ĠcafÃ© Ġof Ġ 1905 became The ĠcafÃ© Ġof Ġ 19 0 5
#   an end of text: The ĠcafÃ© Ġof Ġ1905 <end> became The ĠcafÃ© Ġof Ġ1905
#   letters, cut at blanks: The café of 1905 became The caf f of of f 1905 5
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export PYTHONUTF8=1
python3 -m venv venv
venv/bin/pip install --quiet 'tokie==0.1.4' 'tokenizers==0.23.3'
cat >compare.py <<'PYTHON'
import tokie
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

text = "The café of 1905"
letters = pre_tokenizers.ByteLevel.alphabet()
words, plain = (pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=cut) for cut in (True, False))
llama = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
llama += r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def trained(cut, alphabet=letters, normalizer=None, end=False):
    engine = Tokenizer(models.BPE(unk_token="<unk>"))
    engine.pre_tokenizer = cut
    if alphabet:
        engine.decoder = decoders.ByteLevel()
    if normalizer:
        engine.normalizer = normalizer
    trainer = trainers.BpeTrainer(special_tokens=["<unk>", "<end>"], initial_alphabet=alphabet, show_progress=False)
    engine.train_from_iterator([text] * 9, trainer)
    if end:
        engine.post_processor = processors.TemplateProcessing("$A <end>", special_tokens=[("<end>", 1)])
    return engine


def split(pattern):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), plain])


cases = {
    "as GPT-2": trained(words),
    "as Llama 3": trained(split(llama)),
    "Lowercase": trained(words, normalizer=normalizers.Lowercase()),
    "Replace(\"of\", \"in\")": trained(words, normalizer=normalizers.Replace("of", "in")),
    "words not cut": trained(plain),
    "up to four digits": trained(split(llama.replace("{1,3}", "{1,4}"))),
    "an end of text": trained(words, end=True),
    "letters, cut at blanks": trained(pre_tokenizers.WhitespaceSplit(), []),
}
for name, engine in cases.items():
    engine.save("tokenizer.json")
    ours = engine.encode(text).tokens
    theirs = [engine.id_to_token(i) for i in tokie.Tokenizer.from_json("tokenizer.json").encode(text).ids]
    print(f"{name}:", "the same" if theirs == ours else f"{' '.join(ours)} became {' '.join(theirs)}")
PYTHON
venv/bin/python compare.py >seen
cat seen
diff seen - <<'SEEN' || { echo "tokie no longer guesses as described here." >&2; exit 1; }
as GPT-2: the same
as Llama 3: the same
Lowercase: the ĠcafÃ© Ġof Ġ1905 became the Ġcaf e Ġof Ġ1905
Replace("of", "in"): The ĠcafÃ© Ġin Ġ1905 became The ĠcafÃ© Ġ o f Ġ1905
words not cut: TheĠcafÃ©ĠofĠ1905 became Th e Ġ caf Ã © Ġ o f Ġ 1905
up to four digits: The ĠcafÃ© Ġof Ġ 1905 became The ĠcafÃ© Ġof Ġ 19 0 5
an end of text: The ĠcafÃ© Ġof Ġ1905 <end> became The ĠcafÃ© Ġof Ġ1905
letters, cut at blanks: The café of 1905 became The caf f of of f 1905 5
SEEN
