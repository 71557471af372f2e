# %% [markdown]
# # Tutorial: what is in a dataset?
#
# From a run to its density histogram, the top texts of a feature and its keywords, in a notebook. The run is the
# demo: 8,000 arXiv abstracts, embedded with all-MiniLM-L6-v2, and a sparse autoencoder (SAE) with 2,048 features.
# With a run of your own (`python -m precompute build …`) only the path changes.

# %%
import featurelib

run = featurelib.open("data/demo")
print(run)

# %% [markdown]
# ## The SAE
#
# `load_sae` reads the run's SAE, or any other: a file, a folder, an id on the Hugging Face hub. It rewrites an
# embedding as a few activations.

# %%
from featurelib.embedder import load_embedder

sae = featurelib.load_sae("data/demo")
embedder = load_embedder()
text = "We measure the masses of galaxy clusters by weak gravitational lensing."
embedding = embedder.embed([text])
activations = sae.encode(embedding)[0]
strongest = activations.argsort(descending=True)[:5].tolist()
print(f"{int((activations > 0).sum())} of {len(activations):,} features fire; the strongest are {strongest}")

# %% [markdown]
# ## How often do features fire?
#
# The density of a feature is the share of texts on which it fires. On a logarithmic axis most features of a good SAE
# lie between one in a thousand and one in ten; dead features fire on no text and have no logarithm, so they are
# counted apart.

# %%
import plotly.graph_objects as go

features = run.features()
alive = features[~features["dead"]]
densities = run.ask("select log10_density from features where not dead")["log10_density"]
histogram = go.Figure(go.Histogram(x=densities, nbinsx=50))
histogram.update_layout(xaxis_title="log10 of the density", yaxis_title="features")
histogram.write_html("density.html")
n_dead, median = len(features) - len(alive), alive["density"].median()
print(f"{n_dead} of {len(features):,} features are dead; median density {median:.2%}")

# %% [markdown]
# ## What makes a feature fire?
#
# Its top texts are those with the highest activations. Read them before you believe a name.

# %%
feature_id = strongest[0]
for row in run.top_texts(feature_id, limit=5).itertuples():
    print(f"{row.activation:.3f}  {row.text[:90]}")

# %% [markdown]
# ## What is it called?
#
# Keywords are scored words and pairs of words from half of the texts. The label is made of the best of them, chosen
# on a quarter of the texts and scored once on the last quarter: `auroc` says how well the label ranks texts that fire
# first.

# %%
print(run.keywords(feature_id)[["keyword", "score", "n_texts"]].head(5).to_string(index=False))
label = features.set_index("feature_id").loc[feature_id]
print(f"label: {label['label']} (AUROC {label['auroc']:.2f}, average precision {label['ap']:.2f})")

# %% [markdown]
# ## Anything else
#
# Every table of the run is a view in SQL. Where does the feature fire more often than elsewhere?

# %%
shares = run.ask(
    """
    select label as category, count(a.text_id) / count(*) as density, count(*) as n_texts
    from texts t
    left join activations_by_text a on a.text_id = t.text_id and a.feature_id = $feature_id
    group by category
    order by density desc, category
    limit 5
    """,
    feature_id=feature_id,
)
print(shares.to_string(index=False))
