"""Words the demo shop is written in."""

# fmt: off
CATEGORIES = (
    "coffee", "tea", "baking", "snacks", "skincare", "haircare", "kitchen", "garden", "stationery", "toys",
    "pets", "candles", "bedding", "lighting", "cycling", "running", "knitting", "painting", "audio", "luggage",
)
KINDS = ("everyday", "organic", "premium", "gift", "travel", "family", "seasonal", "studio", "vintage", "compact")
CONSUMABLE = 0.5
"""The first half of a shop's categories are used up and bought again."""

QUALITIES = (
    "amber", "birch", "cedar", "dune", "ember", "fern", "granite", "harbour", "indigo", "juniper", "linen", "maple",
)
BRAND_STARTS = (
    "Alder", "Bram", "Cor", "Dell", "Elm", "Fair", "Green", "Haw", "Iver", "Kest", "Lark", "Mere", "North", "Oak",
    "Pen", "Quill", "Row", "Stone",
)
BRAND_ENDS = (
    "ley", "wick", "mont", "field", "by", "stead", "shaw", "ton", "more", "vale", "worth", "ham", "dale", "brook",
    "gate", "ridge", "lyn",
)
# fmt: on
COUNTRIES = ("DE", "FR", "GB", "NL", "ES", "IT", "PL", "SE")
SEGMENTS = ("home", "craft", "outdoor", "family", "studio")


def brand_names(count: int) -> list[str]:
    """Distinct brand names; enough for 306.

    >>> brand_names(2)
    ['Alderley', 'Bramley']
    """
    return [
        BRAND_STARTS[n % len(BRAND_STARTS)] + BRAND_ENDS[n // len(BRAND_STARTS) % len(BRAND_ENDS)] for n in range(count)
    ]
