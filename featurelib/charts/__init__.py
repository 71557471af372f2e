"""Rows → Plotly figures, without Streamlit or DuckDB; the colours of the reader's theme are arguments.

Figures have transparent backgrounds, no frames, legends or toolbars, and explain each mark on hover.
"""

from featurelib.charts.bars import TextRange, count_bars, density_bars, density_choice
from featurelib.charts.coactivation import coactivation_heatmap
from featurelib.charts.contrast import density_scatter
from featurelib.charts.distributions import feature_spread, text_spread
from featurelib.charts.experiments import ScoreLine, score_heatmap, scores_by_number
from featurelib.charts.featuremap import chosen_ids, cluster_colouring, feature_map, own_colouring, paint_features
from featurelib.charts.map_layout import prepared
from featurelib.charts.picture import map_svg
from featurelib.charts.points import Colouring
from featurelib.charts.run_plots import run_plots, then_and_now
from featurelib.charts.style import prepare
from featurelib.charts.textmap import kind_colours, paint_texts, text_map
