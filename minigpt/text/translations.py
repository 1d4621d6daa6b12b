"""English phrases and their French, made by a small grammar, with the word that each word comes from.

Adjectives move behind their noun and agree with it in gender and number, articles contract (de + le = du) and are
elided (l'), and a negation encloses its verb. So a translation depends on words far apart, and where attention should
lie is known.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from random import Random
from typing import NamedTuple, TypeVar

PAIRS, _SEED = 40_000, 1
_MOST_TRIES = 3  # for each pair that is wanted, before the grammar is taken to be exhausted
_VOWELS = "aeiouyhâàéèêëîïôœùû"  # before which an article is elided; every h of the nouns below is mute
Item = TypeVar("Item")


class Piece(NamedTuple):
    """A word of a translation, and the positions of the English words that it comes from."""

    text: str
    sources: tuple[int, ...]


@dataclass(frozen=True)
class Translation:
    """An English text and its French. `links` holds (source word, target word), numbered from 0.

    `source_spans` and `target_spans` hold where each word begins and ends in its text, in characters.
    """

    source: str
    target: str
    source_spans: tuple[tuple[int, int], ...]
    target_spans: tuple[tuple[int, int], ...]
    links: frozenset[tuple[int, int]]


# English singular and plural, French singular and plural, gender
_NOUNS = """
area areas/zone zones f  commission commissions/commission commissions f  market markets/marché marchés m
bank banks/banque banques f  school schools/école écoles f  city cities/ville villes f
house houses/maison maisons f  garden gardens/jardin jardins m  tree trees/arbre arbres m
bird birds/oiseau oiseaux m  cat cats/chat chats m  dog dogs/chien chiens m  horse horses/cheval chevaux m
friend friends/ami amis m  child children/enfant enfants m  woman women/femme femmes f  man men/homme hommes m
queen queens/reine reines f  king kings/roi rois m  teacher teachers/professeur professeurs m
student students/étudiant étudiants m  doctor doctors/médecin médecins m  author authors/auteur auteurs m
book books/livre livres m  letter letters/lettre lettres f  story stories/histoire histoires f
song songs/chanson chansons f  picture pictures/image images f  river rivers/rivière rivières f
island islands/île îles f  mountain mountains/montagne montagnes f  sea seas/mer mers f
road roads/route routes f  bridge bridges/pont ponts m  train trains/train trains m  boat boats/bateau bateaux m
car cars/voiture voitures f  window windows/fenêtre fenêtres f  door doors/porte portes f
table tables/table tables f  chair chairs/chaise chaises f  lamp lamps/lampe lampes f  idea ideas/idée idées f
question questions/question questions f  answer answers/réponse réponses f  law laws/loi lois f
country countries/pays pays m  government governments/gouvernement gouvernements m
company companies/entreprise entreprises f  museum museums/musée musées m  church churches/église églises f
hotel hotels/hôtel hôtels m  forest forests/forêt forêts f  apple apples/pomme pommes f
cake cakes/gâteau gâteaux m  agreement agreements/accord accords m
community communities/communauté communautés f  army armies/armée armées f
"""

# English, then French: masculine, feminine, their plurals; of those that stay before the noun, marked by +, also the
# masculine before a vowel
_ADJECTIVES = """
European/européen européenne européens européennes   economic/économique économique économiques économiques
French/français française français françaises        Italian/italien italienne italiens italiennes
English/anglais anglaise anglais anglaises           German/allemand allemande allemands allemandes
national/national nationale nationaux nationales     political/politique politique politiques politiques
public/public publique publics publiques             modern/moderne moderne modernes modernes
famous/célèbre célèbre célèbres célèbres             important/important importante importants importantes
red/rouge rouge rouges rouges    green/vert verte verts vertes    blue/bleu bleue bleus bleues
black/noir noire noirs noires    white/blanc blanche blancs blanches   yellow/jaune jaune jaunes jaunes
strange/étrange étrange étranges étranges            quiet/tranquille tranquille tranquilles tranquilles
happy/heureux heureuse heureux heureuses             dangerous/dangereux dangereuse dangereux dangereuses
poor/pauvre pauvre pauvres pauvres   rich/riche riche riches riches   heavy/lourd lourde lourds lourdes
clear/clair claire clairs claires    cold/froid froide froids froides   open/ouvert ouverte ouverts ouvertes
old/vieux vieille vieux vieilles vieil+   new/nouveau nouvelle nouveaux nouvelles nouvel+
beautiful/beau belle beaux belles bel+    big/grand grande grands grandes grand+
small/petit petite petits petites petit+  young/jeune jeune jeunes jeunes jeune+
good/bon bonne bons bonnes bon+           bad/mauvais mauvaise mauvais mauvaises mauvais+
"""

# English singular, plural and plain form, French singular and plural
_VERBS = """
sees see see/voit voient         finds find find/trouve trouvent     likes like like/aime aiment
visits visit visit/visite visitent   buys buy buy/achète achètent    sells sell sell/vend vendent
shows show show/montre montrent  hears hear hear/entend entendent    follows follow follow/suit suivent
paints paint paint/peint peignent   knows know know/connaît connaissent   leaves leave leave/quitte quittent
protects protect protect/protège protègent   describes describe describe/décrit décrivent
chooses choose choose/choisit choisissent   forgets forget forget/oublie oublient
"""

# English, French masculine, feminine, plural, and the singular before a vowel; - where there is no such form
_DETERMINERS = """
the/le la les l'   this/ce cette - cet   these/- - ces -   my/mon ma mes mon   our/notre notre nos notre
their/leur leur leurs leur   a/un une - -   two/- - deux -   three/- - trois -   every/chaque chaque - chaque
"""
_PLACES = {"in": "dans", "near": "près de", "behind": "derrière", "with": "avec", "for": "pour", "under": "sous"}


@dataclass(frozen=True)
class _Noun:
    english: tuple[str, str]  # singular, plural
    french: tuple[str, str]
    feminine: bool


@dataclass(frozen=True)
class _Adjective:
    english: str
    french: tuple[str, ...]  # as _ADJECTIVES has them
    before: bool

    def agreeing(self, feminine: bool, plural: bool, following: str) -> str:
        if self.before and not feminine and not plural and _begins_with_vowel(following):
            return self.french[4]
        return self.french[feminine + 2 * plural]


@dataclass(frozen=True)
class _Phrase:
    """English words, and pieces of French that refer to them by position; the French agrees with its noun."""

    english: tuple[str, ...]
    french: tuple[Piece, ...]
    feminine: bool = False
    plural: bool = False

    def then(self, other: "_Phrase") -> "_Phrase":
        """This phrase with another behind it."""
        moved = (Piece(text, tuple(at + len(self.english) for at in sources)) for text, sources in other.french)
        return replace(self, english=self.english + other.english, french=(*self.french, *moved))


def _entries(table: str) -> list[tuple[list[str], list[str]]]:
    """The entries of a table, separated by two blanks or more or by a line break: the English and French forms."""
    cells = [cell for line in table.splitlines() for cell in line.strip().split("  ") if cell.strip()]
    return [(english.split(), french.split()) for english, french in (cell.strip().split("/") for cell in cells)]


def _begins_with_vowel(word: str) -> bool:
    return word[0] in _VOWELS


class _Grammar:
    """Draws phrases at random, by a seed that gives the same ones everywhere."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed).random
        self._nouns = [
            _Noun((one, many), (french[0], french[1]), french[2] == "f") for (one, many), french in _entries(_NOUNS)
        ]
        self._adjectives = [
            _Adjective(english[0], tuple(form.removesuffix("+") for form in french), french[-1].endswith("+"))
            for english, french in _entries(_ADJECTIVES)
        ]
        self._verbs = _entries(_VERBS)
        self._determiners = {english[0]: french for english, french in _entries(_DETERMINERS)}

    def _one(self, items: Sequence[Item]) -> Item:
        return items[int(self._random() * len(items))]

    def text(self) -> _Phrase:
        """A noun phrase or a sentence."""
        kind = self._random()
        if kind < 0.4:
            return self._noun_phrase(adjectives=2, of=0.3)
        if kind < 0.5:
            return self._noun_phrase(adjectives=1).then(self._place())
        if kind < 0.65:
            return self._description()
        sentence = self._action()
        return sentence.then(self._place()) if self._random() < 0.25 else sentence

    def _noun_phrase(self, adjectives: int = 1, of: float = 0.15) -> _Phrase:
        """A determiner, up to two adjectives and a noun, perhaps with another noun phrase behind `of`."""
        plural, noun = self._random() < 0.35, self._one(self._nouns)
        chosen = [self._one(self._adjectives) for _ in range(int(self._random() * (adjectives + 1)))]
        if len(chosen) == 2 and (chosen[0].before or chosen[1].before or chosen[0] == chosen[1]):
            chosen.pop()
        usual = [word for word, forms in self._determiners.items() if (forms[2] if plural else forms[0]) != "-"]
        determiner = "the" if self._random() < 0.4 else self._one(usual)
        phrase = self._composed(determiner, chosen, noun, plural=plural, is_name=self._random() < 0.15)
        if self._random() < of:
            return phrase.then(_joined("of", "de", self._noun_phrase(of=0.0)))
        return phrase

    def _composed(
        self, determiner: str, adjectives: Sequence[_Adjective], noun: _Noun, *, plural: bool, is_name: bool
    ) -> _Phrase:
        """The phrase in both languages: adjectives behind the French noun stand in reverse order."""
        words = [each.english for each in adjectives] + [noun.english[plural]]
        english = (determiner, *(word.capitalize() if is_name else word for word in words))
        if determiner == "a" and english[1][0].lower() in "aeiou" and not english[1].startswith("Eu"):
            english = ("an", *english[1:])
        head = noun.french[plural]
        before, behind = list[Piece](), list[Piece]()
        for at, adjective in enumerate(adjectives, 1):
            piece = Piece(adjective.agreeing(noun.feminine, plural, head), (at,))
            (before if adjective.before else behind).append(piece)
        words_after = [*before, Piece(head, (len(words),)), *reversed(behind)]
        masculine, feminine, many, elided = self._determiners[determiner]
        article = many if plural else feminine if noun.feminine else masculine
        if not plural and elided != "-" and _begins_with_vowel(words_after[0].text):
            article = article if determiner == "this" and noun.feminine else elided
        return _Phrase(english, (Piece(article, (0,)), *words_after), noun.feminine, plural)

    def _place(self) -> _Phrase:
        """A preposition and a noun phrase."""
        word = self._one(list(_PLACES))
        return _joined(word, _PLACES[word], self._noun_phrase(of=0.0))

    def _description(self) -> _Phrase:
        """A noun phrase that is, or is not, an adjective."""
        subject, adjective = self._noun_phrase(of=0.0), self._one(self._adjectives)
        negated = self._random() < 0.3
        forms = ("are", "sont") if subject.plural else ("is", "est")
        french = adjective.french[subject.feminine + 2 * subject.plural]
        words = (forms[0], *(("not",) if negated else ()), adjective.english)
        verb = _negated(Piece(forms[1], (0,)), (1,)) if negated else (Piece(forms[1], (0,)),)
        return subject.then(_Phrase(words, (*verb, Piece(french, (len(words) - 1,)))))

    def _action(self) -> _Phrase:
        """A subject, a verb, perhaps negated, and an object."""
        subject, (english, french) = self._noun_phrase(), self._one(self._verbs)
        if self._random() < 0.25:
            words = ("do" if subject.plural else "does", "not", english[2])
            verb = _Phrase(words, _negated(Piece(french[subject.plural], (2,)), (0, 1)))
        else:
            verb = _Phrase((english[subject.plural],), (Piece(french[subject.plural], (0,)),))
        return subject.then(verb).then(self._noun_phrase())


def _negated(verb: Piece, sources: tuple[int, ...]) -> tuple[Piece, Piece, Piece]:
    """The verb inside ne ... pas; `sources`: the English words of the negation."""
    return Piece("n'" if _begins_with_vowel(verb.text) else "ne", sources), verb, Piece("pas", sources)


def _joined(english: str, french: str, phrase: _Phrase) -> _Phrase:
    """A preposition before a noun phrase; de + le becomes du, and de + les des."""
    *first, last = (Piece(word, (0,)) for word in french.split())
    joined = _Phrase((english,), ()).then(phrase)
    article, *rest = joined.french
    contracted = {("de", "le"): "du", ("de", "les"): "des"}.get((last.text, article.text))
    if contracted is not None:
        return replace(joined, french=(*first, Piece(contracted, (0, 1)), *rest))
    if last.text == "de" and _begins_with_vowel(article.text):
        last = Piece("d'", (0,))
    return replace(joined, french=(*first, last, article, *rest))


def _translation(phrase: _Phrase) -> Translation:
    source, target = "", ""
    source_spans, target_spans = list[tuple[int, int]](), list[tuple[int, int]]()
    for word in phrase.english:
        start = len(source) + bool(source)
        source = f"{source} {word}".lstrip()
        source_spans.append((start, len(source)))
    for piece in phrase.french:
        gap = "" if not target or target.endswith("'") else " "
        target_spans.append((len(target) + len(gap), len(target) + len(gap) + len(piece.text)))
        target += gap + piece.text
    links = {(source, number) for number, piece in enumerate(phrase.french) for source in piece.sources}
    return Translation(source, target, tuple(source_spans), tuple(target_spans), frozenset(links))


def translations(count: int = PAIRS, seed: int = _SEED) -> Iterator[Translation]:
    """Distinct translations: `count` of them, or as many as the grammar gives in a reasonable time."""
    grammar, seen = _Grammar(seed), set[str]()
    for _ in range(_MOST_TRIES * count):
        if len(seen) == count:
            return
        found = _translation(grammar.text())
        if found.source not in seen and found.source != EXAMPLE.source:
            seen.add(found.source)
            yield found


@cache
def known_translations() -> dict[str, Translation]:
    """The lecture's phrase, which is no part of the built-in corpus, and that corpus, by source."""
    return {each.source: each for each in (EXAMPLE, *translations())}


def _example() -> Translation:
    """The phrase of Bahdanau et al., 2015, figure 3, with which the lecture shows an alignment."""
    words = (Piece("la", (0,)), Piece("zone", (3,)), Piece("économique", (2,)), Piece("européenne", (1,)))
    return _translation(_Phrase(("the", "European", "Economic", "Area"), words))


EXAMPLE = _example()
