"""The classes of the sample: the model of each, and how its fruit leans.

Some look alike on purpose: the two red apples, orange and clementine, lemon and lime.
"""

from collections.abc import Callable

from drawing import fruit
from drawing.shapes import Cloud
from drawing.vectors import Random

MODELS: dict[str, Callable[[Random], Cloud]] = {
    "Apple Braeburn": fruit.Apple(
        ground="#d9bd55",
        flush="#bd2a22",
        deep_flush="#7c1118",
        amount=0.30,
        streaks=0.62,
        russet=0.20,
        height=0.90,
    ).model,
    "Apple Golden": fruit.Apple(
        ground="#d3c458",
        flush="#dfb458",
        deep_flush="#d28f58",
        amount=-0.1,
        streaks=0.08,
        russet=0.70,
        height=0.95,
    ).model,
    "Apple Red": fruit.Apple(
        ground="#d8a24a",
        flush="#b3161f",
        deep_flush="#6d0a16",
        amount=0.75,
        streaks=0.30,
        russet=0.15,
        height=0.96,
    ).model,
    "Avocado": fruit.model_avocado,
    "Banana": fruit.model_banana,
    "Clementine": fruit.Citrus(
        ripe="#ee6a0a",
        unripe="#f29318",
        pore="#c84e04",
        radii=(1.0, 0.82, 0.98),
        pore_count=1000,
        pore_depth=0.014,
        nipple=0,
        unripeness=0.6,
        gloss=0.5,
    ).model,
    "Grape White": fruit.model_grape,
    "Kiwi": fruit.model_kiwi,
    "Lemon": fruit.Citrus(
        ripe="#f0c80f",
        unripe="#c3c42c",
        pore="#d29c06",
        radii=(0.80, 0.95, 0.78),
        pore_count=900,
        pore_depth=0.013,
        nipple=0.22,
        unripeness=0.5,
        gloss=0.35,
    ).model,
    "Limes": fruit.Citrus(
        ripe="#6f8f34",
        unripe="#c0bb48",
        pore="#4a6a22",
        radii=(0.88, 0.93, 0.86),
        pore_count=900,
        pore_depth=0.012,
        nipple=0.12,
        unripeness=0.8,
        gloss=0.45,
    ).model,
    "Orange": fruit.Citrus(
        ripe="#ee7d0c",
        unripe="#f2a022",
        pore="#c65a05",
        radii=(1.0, 0.95, 0.98),
        pore_count=1300,
        pore_depth=0.016,
        nipple=0,
        unripeness=0.5,
        gloss=0.35,
    ).model,
    "Peach": fruit.model_peach,
    "Pear": fruit.model_pear,
    "Plum": fruit.model_plum,
    "Strawberry": fruit.model_strawberry,
    "Watermelon": fruit.model_watermelon,
}

LEAN = {"Banana": 28}  # degrees to the left when upright; every other class stands straight
