"""What stands between the commas of --choices, to the letter, and what is refused."""

import pytest

from minigpt.errors import ConfigError
from minigpt.text.arguments import joined_choices, running_together, split_choices


@pytest.mark.parametrize(
    ("line", "choices"),
    [
        ("yes,no", ("yes", "no")),
        (" yes, no", (" yes", " no")),
        ("yes, no ", ("yes", " no ")),
        ('"a, b",c', ("a, b", "c")),
        ('" a, b", c', (" a, b", " c")),
        ('say ""hi"",b', ('say ""hi""', "b")),
        ('"say ""hi""",b', ('say "hi"', "b")),
        ('"a\nb",c', ("a\nb", "c")),
        ("a\\n,\t", ("a\\n", "\t")),
        (" ,  ", (" ", "  ")),
        ("狐,ß,😀", ("狐", "ß", "😀")),
        ("[bold],\x1b[31m", ("[bold]", "\x1b[31m")),
    ],
)
def test_choices_are_kept_to_the_letter(line: str, choices: tuple[str, ...]) -> None:
    assert split_choices(line) == choices
    assert split_choices(joined_choices(choices)) == choices


REFUSED = [
    ("", "compares two texts or more, separated by commas, not '' alone"),
    ("good", "not good alone"),
    ('"a,b"', "alone"),
    (",", "has an empty choice"),
    ("a,", "has an empty choice"),
    ("a,,b", 'has an empty choice. Write a comma inside one as "a, b",c'),
    ('a,""', "has an empty choice"),
    ("a,b,a", 'choices= has "a" twice'),
    ('"a"b,c', "cannot be read as CSV"),
    ('a,"b', "cannot be read as CSV"),
    ("a\x1b,a\x1b", '"a\\x1b" twice'),
]


@pytest.mark.parametrize(("line", "message"), REFUSED)
def test_what_cannot_be_compared_is_refused(line: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        split_choices(line)
    assert message in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("prompt", "choices", "together"),
    [
        ("The film is", ["good", " bad", "?", "2"], ["good", "2"]),
        ("Answer:", ["yes", " no"], ["yes"]),
        ("The film is ", ["good"], []),
        ("x\n", ["good"], []),
        ("print(", ["x", "1"], []),
        ('"', ["so"], []),
        ("", ["so"], []),
        ("速い", ["狐", "犬", "Fuchs"], ["Fuchs"]),
        ("größer", ["als"], ["als"]),
    ],
)
def test_a_word_behind_a_word_runs_into_it(prompt: str, choices: list[str], together: list[str]) -> None:
    assert running_together(prompt, choices) == together
