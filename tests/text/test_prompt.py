"""Words of a text, for a command to type."""

import pytest

from minigpt.text.arguments import opening_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("First Citizen:\nBefore we proceed any further", "First Citizen"),
        ("The quick brown fox jumps over the lazy dog", "The quick brown fox"),
        ("date,place,temperature,rain\n2024-01-01,Bern,3.5,0\n", "date,place,temperature"),
        ("name\tage\nAda\t36\n", "name"),
        ("ACGT" * 100, "ACGTACGTACGT"),
        ("Ἄνδρα μοι ἔννεπε, μοῦσα, πολύτροπον", "Ἄνδρα μοι ἔννεπε, μοῦσα"),
        ("  \n\n# A title\n", "A title"),
        ("--- old\n+++ new\n", "old"),
        ("吾輩は猫である。名前はまだ無い。", "吾輩は猫である。名前はまだ無い"),
        ("\ufffd\ufffdhalf \ufffd a sign", "half"),
        ("\x1b[31mred\x1b[0m", "31mred"),
        ("a", "a"),
        ("... !!", ""),
        ("", ""),
    ],
)
def test_a_text_is_entered_by_words_of_its_own(text: str, words: str) -> None:
    assert opening_words(text) == words
