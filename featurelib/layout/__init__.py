"""Where features and texts lie on maps.

places        vectors → x, y (UMAP) and clusters
firing_means  what fires a feature → a vector
regions       x, y → nested regions that are named on a map
faithful      how much of the nearness of vectors a map keeps
"""

from featurelib.layout.faithful import Faithfulness, faithfulness
from featurelib.layout.firing_means import FiringMeans
from featurelib.layout.places import (
    FEW,
    MOST_TEXTS,
    NO_CLUSTER,
    Layout,
    Places,
    arrange_directions,
    arrange_firing,
    arrange_texts,
    cluster_vectors,
    drawn_texts,
    find_clusters,
)
from featurelib.layout.regions import LEVELS, Regions, find_regions

__all__ = [
    "FEW",
    "LEVELS",
    "MOST_TEXTS",
    "NO_CLUSTER",
    "Faithfulness",
    "FiringMeans",
    "Layout",
    "Places",
    "Regions",
    "arrange_directions",
    "arrange_firing",
    "arrange_texts",
    "cluster_vectors",
    "drawn_texts",
    "faithfulness",
    "find_clusters",
    "find_regions",
]
