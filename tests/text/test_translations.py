"""The built-in translations: always the same, all different, in correct French, and aligned word for word."""

from hashlib import sha256
from itertools import islice

import pytest

from minigpt.text.translations import EXAMPLE, PAIRS, Translation, known_translations, translations

FIRST_100 = "9b5fe55ec5520216d2c43d21238b2f91f8806aad0129b3a6274edcee68695101"


@pytest.fixture(scope="module")
def known() -> dict[str, Translation]:
    return known_translations()


def test_they_are_the_same_everywhere() -> None:
    text = "".join(f"{each.source}\t{each.target}\n" for each in translations(100))
    assert sha256(text.encode()).hexdigest() == FIRST_100
    assert list(translations(100)) == list(islice(translations(), 100))
    assert list(translations(100, seed=2)) != list(translations(100))


def test_sources_are_distinct_and_the_example_is_none_of_them(known: dict[str, Translation]) -> None:
    sources = [each.source for each in translations()]
    assert len(sources) == len(set(sources)) == PAIRS
    assert EXAMPLE.source not in sources
    assert "European Economic Area" not in " ".join(sources)
    assert known[EXAMPLE.source] is EXAMPLE
    assert len(known) == PAIRS + 1


def test_spans_are_those_of_the_words_and_links_lie_inside(known: dict[str, Translation]) -> None:
    for each in known.values():
        assert [each.source[start:end] for start, end in each.source_spans] == each.source.split(" ")
        words = [each.target[start:end] for start, end in each.target_spans]
        assert "".join(words) == each.target.replace(" ", "")
        assert {target for _, target in each.links} == set(range(len(words))), each
        assert {source for source, _ in each.links} == set(range(len(each.source_spans))), each


@pytest.mark.parametrize(
    "wrong", [" le a", " de le ", " de les ", " le é", " la é", " ce a", " je a", " ne e", " de a", "  "]
)
def test_no_elision_or_contraction_is_missing(known: dict[str, Translation], wrong: str) -> None:
    assert [each.target for each in known.values() if wrong in f" {each.target} "] == []


# By hand: English, French, and the positions of the English words that each French word comes from.
ALIGNED = [
    # agreement in gender and number, adjectives behind the noun in reverse order, de + le = du, vieil before a vowel
    (
        "the clear public sea of the Old Bird",
        "la mer publique claire du vieil oiseau",
        [[0], [3], [2], [1], [4, 5], [6], [7]],
    ),
    # n' before a vowel, the verb inside the negation
    (
        "the cat does not buy our quiet country",
        "le chat n'achète pas notre pays tranquille",
        [[0], [1], [2, 3], [4], [2, 3], [5], [7], [6]],
    ),
    # près de: two words for one, de + les = des
    (
        "the door of the government near the children",
        "la porte du gouvernement près des enfants",
        [[0], [1], [2, 3], [4], [5], [5, 6], [7]],
    ),
    # l' before a vowel after de, which stays
    (
        "a political table of the important author",
        "une table politique de l'auteur important",
        [[0], [2], [1], [3], [4], [6], [5]],
    ),
    # mon before a feminine noun with a vowel, d' before une
    (
        "my German island of a young picture",
        "mon île allemande d'une jeune image",
        [[0], [2], [1], [3], [4], [5], [6]],
    ),
]


@pytest.mark.parametrize(("source", "target", "links"), ALIGNED, ids=[source for source, *_ in ALIGNED])
def test_translations_by_hand(known: dict[str, Translation], source: str, target: str, links: list[list[int]]) -> None:
    found = known[source]
    assert found.target == target
    assert found.links == {(word, number) for number, words in enumerate(links) for word in words}


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("the famous horses", "les chevaux célèbres"),
        ("this author is modern", "cet auteur est moderne"),
        ("our student is not rich", "notre étudiant n'est pas riche"),
        ("the Hotel is big", "l'hôtel est grand"),
        ("their Student of the German doctors", "leur étudiant des médecins allemands"),
        ("these boats do not sell their economic chair", "ces bateaux ne vendent pas leur chaise économique"),
        ("the European churches for my beautiful horses", "les églises européennes pour mes beaux chevaux"),
    ],
)
def test_other_translations_by_hand(known: dict[str, Translation], source: str, target: str) -> None:
    assert known[source].target == target


def test_the_example_is_the_one_of_the_paper() -> None:
    assert (EXAMPLE.source, EXAMPLE.target) == ("the European Economic Area", "la zone économique européenne")
    assert EXAMPLE.links == {(0, 0), (3, 1), (2, 2), (1, 3)}
    assert EXAMPLE.source_spans == ((0, 3), (4, 12), (13, 21), (22, 26))
    assert EXAMPLE.target_spans == ((0, 2), (3, 7), (8, 18), (19, 29))
