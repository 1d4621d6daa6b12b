"""`minigpt inspect-probs`: a text in; the distribution after it, behind every token of it, or among choices, out."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minigpt.cli.against import show_against
from minigpt.cli.boundary import NO_BOUNDARY, find_boundary, print_boundary, tell_of_boundary
from minigpt.cli.choices import show_choices
from minigpt.cli.completion import complete_model
from minigpt.cli.config_file import Config
from minigpt.cli.corpus_view import BesideCorpus, Suffix, show_corpus
from minigpt.cli.cut import show_tokens
from minigpt.cli.given import given
from minigpt.cli.guard import guarded, note, stdout
from minigpt.cli.history import history_run, show_history, show_history_by_layer
from minigpt.cli.lens import show_attribution, show_by_layer
from minigpt.cli.options import Boundary, Checkpoint, Device, Json, Quiet, TextFile, Threads, Top, csv_flag
from minigpt.cli.page import Html, ViewPage, check_page
from minigpt.cli.untrained import tell_untrained
from minigpt.render.boundary import boundary_tables
from minigpt.render.machine import write_csv, write_steps
from minigpt.render.screen import Screen
from minigpt.render.tables import every_token_table, next_token_table, score_caption
from minigpt.settings import require

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from minigpt.checkpoint.folder import Checkpoint as Loaded
    from minigpt.sampling.records import StepRecord, TextScore
    from minigpt.text.records import Token
    from minigpt.views.probs import TextTally

_FOLLOWED = 4  # tokens, through a history, by default
_TOGETHER = (["--all", "--against"], ["--history", "--by-layer"])  # views that make one


@guarded
def inspect_probs(
    ctx: typer.Context,
    text: Annotated[
        str | None,
        typer.Argument(help="The text to look at; - or nothing reads standard input.", show_default=False),
    ] = None,
    file: TextFile = None,
    checkpoint: Checkpoint = None,
    every: Annotated[
        bool, typer.Option("--all", help="Score every token of the text, not only what comes next.")
    ] = False,
    choices: Annotated[
        str | None,
        typer.Option(
            help="How probable is each of these continuations? Spaces count; a comma inside is quoted as in CSV.",
            metavar="A,B,...",
            show_default=False,
        ),
    ] = None,
    boundary: Boundary = False,
    against: Annotated[
        Path | None,
        typer.Option(
            help="Another checkpoint: both side by side; with --all, stretch by stretch.",
            show_default=False,
            autocompletion=complete_model,
        ),
    ] = None,
    history: Annotated[
        Path | None,
        typer.Option(
            help="What the models of a run expected as they learned, a row a snapshot; run for the checkpoint's own.",
            metavar="RUN",
            show_default=False,
            autocompletion=complete_model,
        ),
    ] = None,
    by_layer: Annotated[
        bool, typer.Option("--by-layer", help="What each layer would predict: the logit lens.")
    ] = False,
    attribution: Annotated[
        bool, typer.Option("--attribution", help="What each token did for the next one: each left out in turn.")
    ] = False,
    track: Annotated[
        list[str] | None,
        typer.Option(
            help="A token such as ' the' or #262: to follow with --history and --by-layer, several times if you like; "
            "to explain with --attribution.",
            show_default=False,
        ),
    ] = None,
    cut: Annotated[bool, typer.Option("--tokens", help="How the text is cut, and which merges led there.")] = False,
    corpus: BesideCorpus = None,
    suffix: Suffix = None,
    top: Top = 10,
    json: Json = False,
    csv: Annotated[bool, csv_flag("A row per candidate")] = False,
    html: Html = None,
    device: Device = "auto",
    threads: Threads = None,
    config: Config = None,
    quiet: Quiet = False,
) -> None:
    """Show which tokens a model expects after a text, and how strongly.

    [bold]minigpt inspect-probs "To be, or not to"[/bold]
        what may come next
    [bold]minigpt inspect-probs --all --file a.txt[/bold]
        how surprising each token was
    [bold]minigpt inspect-probs "The film was" --choices " good, bad"[/bold]
        which of them fits
    [bold]minigpt inspect-probs "The cat" --corpus run[/bold]
        beside what its own text says
    """
    require(not (json and csv), "--json and --csv exclude each other.")
    ways = {"--choices": choices is not None, "--boundary": boundary, "--history": history is not None}
    ways |= {"--corpus": bool(corpus), "--by-layer": by_layer, "--attribution": attribution, "--tokens": cut}
    asked = [flag for flag, is_given in {"--all": every, **ways, "--against": against is not None}.items() if is_given]
    require(len(asked) < 2 or asked in _TOGETHER, f"{' and '.join(asked)} exclude each other.")
    for flag in asked:
        require(not csv or flag in ("--all", "--choices"), f"{flag} has no --csv; --json has its numbers.")
    require(suffix is None or bool(corpus), "--suffix goes with --corpus SOURCE.")
    check_page(html)
    follows = history is not None or by_layer or attribution
    require(not track or follows, "--track goes with --history, --by-layer or --attribution.")
    from minigpt.app.opening import open_checkpoint, text_to_look_at
    from minigpt.text.choices import split_choices
    from minigpt.text.prompt import check_argument

    texts = split_choices(check_argument(choices)) if choices is not None else ()
    advice = 'Give it as an argument (minigpt inspect-probs "Once upon a"), with --file, or on standard input.'
    prompt = text_to_look_at(text, file, advice=advice)
    if history is not None:
        checkpoint = history_run(history, checkpoint, both="checkpoint" in given(ctx))
    loaded = open_checkpoint(checkpoint, device, threads)
    page = ViewPage(html, loaded, prompt, quiet)
    if cut:
        show_tokens(loaded.tokenizer, prompt, json=json, page=page)
        return
    ids = loaded.tokenizer.encode(prompt)
    tell_untrained(loaded.path, quiet=quiet)
    tracked = [check_argument(token) for token in track or ()]
    _tell_of_windows(loaded, len(ids), _more_tokens(loaded, texts) - every, quiet=quiet)
    if not every and not boundary:
        tell_of_boundary(loaded, prompt, top=1, show=False, quiet=quiet)
    if history is not None and by_layer:
        show_history_by_layer(loaded, prompt, ids, tracked, json=json, page=page)
    elif history is not None:
        followed = top if "top" in given(ctx) else _FOLLOWED
        show_history(loaded, prompt, tracked, followed, json=json, page=page)
    elif by_layer:
        show_by_layer(loaded, prompt, ids, tracked, top, json=json, page=page)
    elif attribution:
        show_attribution(loaded, ids, tracked, json=json, page=page, quiet=quiet)
    elif against is not None:
        show_against(loaded, against, prompt, top, every=every, json=json, page=page)
    elif corpus:
        show_corpus(loaded, prompt, ids, corpus, top=top, suffix=suffix, json=json, page=page, quiet=quiet)
    elif texts:
        show_choices(loaded, prompt, ids, texts, json=json, csv=csv, page=page, quiet=quiet)
    elif every:
        page.every_token(ids)
        _show_every_token(loaded, ids, top, json=json, csv=csv, page=page)
    elif boundary:
        _show_boundary(loaded, prompt, ids, top, json=json, page=page, quiet=quiet)
    else:
        page.next_token(ids)
        _show_next_token(loaded, prompt, ids, top, json=json, csv=csv, page=page)


def _more_tokens(loaded: "Loaded", texts: "Sequence[str]") -> int:
    """How many tokens of the longest of `texts` are read before its last is predicted."""
    return max((len(loaded.tokenizer.encode(text)) - 1 for text in texts), default=0)


def _tell_of_windows(loaded: "Loaded", tokens: int, more: int, *, quiet: bool) -> None:
    """A note where the model reads more tokens than its context holds: those of the text, and `more`."""
    from minigpt.models.kv_cache import window_start

    context = loaded.model.config.context
    if window_start(tokens + more, loaded.model.config.limit):
        longest = f", with the longest choice {tokens + more:,}" if more > 0 else ""
        note(
            f"the text has {tokens:,} tokens{longest}, the model's context {context}; it is read in windows that "
            "overlap, as sampling reads it.",
            quiet=quiet,
        )


def _show_next_token(
    loaded: "Loaded", text: str, ids: list[int], top: int, *, json: bool, csv: bool, page: ViewPage
) -> None:
    from minigpt.views.probs import next_token

    record = next_token(loaded.model, loaded.tokenizer, ids, top=top)
    if json:
        write_steps([record], page.about, sys.stdout)
    elif csv:
        write_csv([record], sys.stdout)
    else:
        _print_next_token(record, text)


def _show_boundary(
    loaded: "Loaded", text: str, ids: list[int], top: int, *, json: bool, page: ViewPage, quiet: bool
) -> None:
    from minigpt.views.probs import next_token

    end = find_boundary(loaded, ids, top)
    if end is None:
        note(NO_BOUNDARY, quiet=quiet)
    record = next_token(loaded.model, loaded.tokenizer, ids, top=top)
    page.printed(
        "How the end of the text is cut",
        lambda screen: [boundary_tables(record, end, text, screen) if end else next_token_table(record, text, screen)],
    )
    if json:
        write_steps([record], lambda: {"boundary": end, **page.about()}, sys.stdout)
    elif end is None:
        _print_next_token(record, text)
    else:
        print_boundary(stdout(), record, end, text)


def _show_every_token(loaded: "Loaded", ids: list[int], top: int, *, json: bool, csv: bool, page: ViewPage) -> None:
    from minigpt.views.probs import TextTally, every_token, first_token

    tally = TextTally()
    records = tally.watch(every_token(loaded.model, loaded.tokenizer, ids, top=top))
    if json:
        write_steps(records, lambda: {**_totals(tally.score()), **page.about()}, sys.stdout)
    elif csv:
        write_csv(records, sys.stdout)
    else:
        tokens = [token for i in set(ids) if (token := first_token(loaded.tokenizer, i).token)]
        _print_every_token(records, tokens, tally)


def _totals(score: "TextScore") -> dict[str, float | int | None]:
    return {
        "total_nats": score.total_nats,
        "bits_per_byte": score.bits_per_byte,
        "perplexity": score.perplexity,
        "bytes": score.bytes,
        "tokens": score.tokens,
    }


def _print_next_token(record: "StepRecord", text: str) -> None:
    console = stdout()
    console.print(next_token_table(record, text, Screen.of(console)), soft_wrap=True)


def _print_every_token(records: "Iterable[StepRecord]", tokens: "Sequence[Token]", tally: "TextTally") -> None:
    console = stdout()
    screen = Screen.of(console)
    for line in every_token_table(records, tokens, screen):
        console.print(line, soft_wrap=True)
    console.print(score_caption(tally.score(), screen), soft_wrap=True)
