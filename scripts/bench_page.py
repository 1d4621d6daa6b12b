"""Measures live pages: tokens per second, time to the first list, size. Started by scripts/bench.

Chromium is driven as tests/render/browser.py does it.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "render"))
DEMO = ROOT / "checkpoints" / "demo"
SHAPES = {"4x128": 100, "6x384": 15}  # layers x width, and the tokens per second that are expected
FIRST_LIST_EXPECTED = 1.0  # seconds
READ, DRAWN = 16, 60  # tokens
PATIENCE = 120  # seconds

PAGE = 'document.querySelector("section.view").page'
# Tokens drawn one after the other, each after a pass over all before it, as the page itself draws them.
DRAW = """(() => {
  const page = %s, ids = Array.from({ length: %d }, (_, i) => i + 1);
  let reading = page.model.read(ids);
  const next = () => {
    const { final } = Sampling.steps(reading.logits(), reading.all, [{ name: "temperature", value: 0.8 }]);
    reading = page.model.read([...reading.all, Sampling.draw(final, 0.5)], { from: reading });
  };
  for (let i = 0; i < 8; i += 1) next();
  const started = performance.now();
  for (let i = 0; i < %d; i += 1) next();
  return %d / (performance.now() - started) * 1000;
})()"""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/bench page",
        description="Pages in which a model runs, in headless Chromium: checkpoints/demo in each type, with how far "
        "its logits are from those in float32, and models with random weights.",
    )
    parser.add_argument("--rounds", type=int, default=3, help="of which the best counts (default: 3)")
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    asked = parser.parse_args(arguments)
    from browser import CHROMIUM, Browser

    if CHROMIUM is None:
        sys.exit("scripts/bench page drives Chromium, which is not installed here: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        browser = Browser(Path(folder) / "profile")
        try:
            told = list(measured(browser, Path(folder), asked.rounds))
        finally:
            browser.close()
    print(json.dumps(told) if asked.json else "\n".join(map(line, told)))
    return 0


def measured(browser: Any, folder: Path, rounds: int) -> Any:
    from minigpt.settings import PAGE_DTYPES

    for dtype in PAGE_DTYPES:
        path = exported(DEMO, folder / "page.html", dtype)
        yield {"model": "demo", "dtype": dtype, **page_figures(browser, path, rounds), **away(browser)}
    for shape, expected in SHAPES.items():
        path = exported(random_model(folder, shape), folder / "page.html", "bfloat16")
        yield {"model": shape, "dtype": "bfloat16", "expected": expected, **page_figures(browser, path, rounds)}


def exported(source: Path, target: Path, dtype: str) -> Path:
    """A page, written by the command."""
    import subprocess

    command = [
        sys.executable,
        "-m",
        "minigpt",
        "export",
        str(source),
        str(target),
        "--dtype",
        dtype,
        "--overwrite",
        "-q",
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return target


def random_model(folder: Path, shape: str) -> Path:
    """A folder with a model of random weights, its heads 32 or 64 wide, and the tokenizer of the demo."""
    import torch

    from minigpt.checkpoint.folder import load, save_description, save_weights
    from minigpt.models.gpt import GPT
    from minigpt.settings import ModelConfig

    layers, width = map(int, shape.split("x"))
    heads, tokenizer = (6 if width == 384 else width // 32), load(DEMO).tokenizer
    config = ModelConfig(vocab_size=tokenizer.vocab_size, context=256, layers=layers, heads=heads, width=width)
    model = GPT(config).initialise(torch.Generator().manual_seed(0))
    made = folder / shape
    made.mkdir()
    save_description(made, config, tokenizer, torch.float32)
    save_weights(made, model)
    return made


def page_figures(browser: Any, path: Path, rounds: int) -> dict[str, float]:
    """Bytes, seconds from opening to the first list, and tokens per second: the best of some rounds."""
    first, rates = [], []
    for _ in range(rounds):
        started = time.perf_counter()
        browser.open(path)
        while not browser["document.querySelectorAll('.next tr[data-id]').length > 0"]:
            if time.perf_counter() - started > PATIENCE:
                sys.exit(f"{path.name} shows no list after {PATIENCE} seconds")
            time.sleep(0.01)
        first.append(time.perf_counter() - started)
        rates.append(browser[DRAW % (PAGE, READ, DRAWN, DRAWN)])
    return {"bytes": path.stat().st_size, "first_list_seconds": min(first), "tokens_per_second": max(rates)}


def away(browser: Any) -> dict[str, float]:
    """How far the logits of the open page are from those of checkpoints/demo in float32, after each token of a text."""
    import torch

    from minigpt.checkpoint.folder import load

    checkpoint = load(DEMO)
    context = checkpoint.model.config.context
    ids = checkpoint.tokenizer.encode((ROOT / "LICENSE").read_text("utf-8"))
    differences, divergences = [], []
    for window in (ids[start : start + context] for start in range(0, 4 * context, context)):
        with torch.inference_mode():
            exact = checkpoint.model(torch.tensor([window]))[0].double()
        logits = f"Array.from({{length: {len(window)}}}, (_, t) => [...reading.logits(t)])"
        found = torch.tensor(browser[f"(() => {{const reading = {PAGE}.model.read({window}); return {logits}; }})()"])
        differences.append((found - exact).abs())
        both = exact.log_softmax(-1), found.double().log_softmax(-1)
        divergences.append((both[0].exp() * (both[0] - both[1])).sum(-1) / torch.log(torch.tensor(2.0)))
    every = torch.cat(differences)
    return {
        "mean_logit_difference": float(every.mean()),
        "largest_logit_difference": float(every.max()),
        "mean_divergence_bits": float(torch.cat(divergences).mean()),
    }


def line(figures: dict[str, Any]) -> str:
    told = (
        f"{figures['model']:6} {figures['dtype']:9} {figures['bytes'] / 1e6:5.1f} MB   "
        f"first list {figures['first_list_seconds']:.2f} s   {figures['tokens_per_second']:6,.0f} tokens/s"
    )
    if "expected" in figures:
        return f"{told} (expected: at least {figures['expected']})"
    return (
        f"{told}\n       first list expected below {FIRST_LIST_EXPECTED:g} s; logits from those in float32: "
        f"mean {figures['mean_logit_difference']:.1g}, largest {figures['largest_logit_difference']:.1g}; "
        f"divergence {figures['mean_divergence_bits']:.1g} bits"
    )


if __name__ == "__main__":
    sys.exit(main())
