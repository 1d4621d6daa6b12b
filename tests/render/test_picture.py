"""Loss curves as pictures."""

import struct
import sys
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from minigpt.contest.records import Comparison
from minigpt.errors import PackageError
from minigpt.render.panels import panels
from minigpt.render.plot import loss_picture, panel_picture
from minigpt.training.records import LossCurves

CURVES = LossCurves(
    run="$x_{2}^ <&> 速い",
    x="step",
    y="bits_per_byte",
    smoothed_steps=4,
    training=tuple((step, 4 - step / 100) for step in range(1, 200)),
    validation=((0, 4.0), (100, 3.0), (200, 2.5)),
)
OTHER = replace(CURVES, run="_under", validation=(), x="step")


def texts(svg: bytes) -> list[str]:
    return [
        "".join(element.itertext()) for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("text")
    ]


def test_an_svg_holds_its_words_as_text() -> None:
    words = texts(loss_picture([CURVES, OTHER], "svg"))
    assert "$x_{2}^ <&> 速い: training, mean of 4 steps" in words
    assert "$x_{2}^ <&> 速い: validation, lowest 2.500" in words
    assert "_under: training, mean of 4 steps" in words
    assert {"steps", "loss in bits per byte"} <= set(words)
    assert not any("_under: validation" in word for word in words)


def test_a_png_is_one() -> None:
    data = loss_picture([CURVES], "png")
    assert data.startswith(b"\x89PNG\r\n")
    assert struct.unpack(">II", data[16:24]) == (1200, 750)


@pytest.mark.parametrize("format", ["svg", "png"])
def test_the_same_curves_give_the_same_bytes(format: str) -> None:
    assert loss_picture([CURVES], format) == loss_picture([CURVES], format)


def test_a_logarithmic_axis_is_another_picture() -> None:
    positive = replace(CURVES, validation=CURVES.validation[1:])
    assert loss_picture([positive], "svg", log=True) != loss_picture([positive], "svg")


def test_a_long_run_stays_a_small_picture() -> None:
    long = replace(CURVES, training=tuple((step, 3.0 + step % 7) for step in range(200_000)))
    assert len(loss_picture([long], "svg")) < 500_000


def test_without_matplotlib_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(PackageError, match=r"pip install -e '\.\[plot\]'"):
        loss_picture([CURVES], "svg")


def test_the_panels_of_a_comparison_are_one_picture(comparison: Comparison) -> None:
    words = texts(panel_picture(panels(comparison), "svg"))
    assert {"keys recalled", "context", "dense window", "LSTM"} <= set(words)
    assert panel_picture(panels(comparison), "svg") == panel_picture(panels(comparison), "svg")
    assert panel_picture(panels(comparison), "png").startswith(b"\x89PNG\r\n")
