"""Rows → Plotly figures. It knows neither Streamlit nor DuckDB; the colours of the reader's theme are arguments.

Figures have transparent grounds, no frames, legends or toolbars, and say on hover in plain words what a mark is.
"""

from featurelib.charts.bars import TextRange, bin_ranges, count_bars, density_bars, density_choice, text_counts
from featurelib.charts.coactivation import together_heatmap
from featurelib.charts.distributions import feature_spread, text_spread
from featurelib.charts.featuremap import chosen_ids, feature_map
from featurelib.charts.style import Colours, share
from featurelib.charts.textmap import Colouring, kind_colours, text_map

__all__ = [
    "Colouring",
    "Colours",
    "TextRange",
    "bin_ranges",
    "chosen_ids",
    "count_bars",
    "density_bars",
    "density_choice",
    "feature_map",
    "feature_spread",
    "kind_colours",
    "share",
    "text_map",
    "text_counts",
    "text_spread",
    "together_heatmap",
]
