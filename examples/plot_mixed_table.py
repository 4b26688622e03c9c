"""
How is a table with numbers and categories reduced?
===================================================

A ``ColumnTransformer`` turns the table into numbers of comparable size; then it is a matrix like
any other. The question afterwards is which columns the code has kept. Three components are
compared with those of PCA.
"""

# %%
# The table is generated: one row for each hour in which a bicycle hire counts its customers.
# Everything depends on the time of the day, the day of the year and the weather, mostly in curves.
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skae import Autoencoder

seasons = np.array(["winter", "spring", "summer", "autumn"])
parts_of_day = np.array(["night", "morning", "afternoon", "evening"])
n = 3000
rng = np.random.default_rng(0)
hour, day, rain = rng.uniform(0, 24, n), rng.uniform(0, 365, n), rng.uniform(0, 1, n) ** 3
summer = -np.cos(2 * np.pi * day / 365)
light = np.clip(np.sin(np.pi * (hour - 6 + summer) / (12 + 2 * summer)), 0, None)
light[(hour < 6 - summer) | (hour > 18 + summer)] = 0
commuting = np.exp(-np.square(hour - 8) / 2) + np.exp(-np.square(hour - 17.5) / 3)
temperature = 10 + 9 * summer + 6 * light * (1 - rain)
table = pd.DataFrame(
    {
        "temperature": temperature + rng.normal(0, 1, n),
        "humidity": 50 + 40 * rain - 10 * light + rng.normal(0, 3, n),
        "brightness": light * (1 - 0.7 * rain) + rng.normal(0, 0.03, n),
        "customers": 100 * (0.2 + commuting) * (1 - rain) * (1.5 + summer) + rng.normal(0, 8, n),
        "pollution": 20 + 30 * commuting * (1.3 - summer) + rng.normal(0, 4, n),
        "season": seasons[((day + 30) // 91.5).astype(int) % 4],
        "part of day": parts_of_day[(hour // 6).astype(int)],
        "weather": np.where(rain > 0.5, "rain", np.where(rain > 0.15, "clouds", "clear")),
    }
)
print(table.head(3).to_string())

# %%
# Numbers are standardised. One-hot columns stay as they are: each has a variance below a quarter,
# so a category does not outweigh a number.
categories = ["season", "part of day", "weather"]
encoding = make_column_transformer(
    (OneHotEncoder(sparse_output=False), categories),
    remainder=StandardScaler(),
    verbose_feature_names_out=False,
)
train, test = train_test_split(table, random_state=0)
pipelines = {
    "PCA": make_pipeline(encoding, PCA(3)).fit(train),
    "Autoencoder": make_pipeline(encoding, Autoencoder(3, max_iter=50, random_state=0)).fit(train),
}

# %%
# For each column of the table, the share of its variance that the reconstruction of held-out rows
# explains; a category counts with all its one-hot columns. The fit of the autoencoder is shortened
# to 50 epochs.
kept = {}
for name, (encoder, reduction) in pipelines.items():
    matrix = encoder.transform(test)
    residual = matrix - reduction.inverse_transform(reduction.transform(matrix))
    parts = pd.DataFrame({"residual": residual.var(axis=0), "total": matrix.var(axis=0)})
    columns = [column.split("_")[0] for column in encoder.get_feature_names_out()]
    sums = parts.groupby(columns).sum()
    kept[name] = 1 - sums["residual"] / sums["total"]
kept = pd.DataFrame(kept).sort_values("Autoencoder")
print(kept.round(2).to_string())

# %%
import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
height = np.arange(len(kept))
ax.hlines(height, kept.min(axis=1), kept.max(axis=1), color="0.8", linewidth=2)
for name, colour in (("PCA", "#D55E00"), ("Autoencoder", "#0072B2")):
    ax.plot(kept[name], height, "o", markersize=9, color=colour, label=name)
ax.set_yticks(height, kept.index)
ax.set(xlim=(0, 1), xlabel="share of the variance kept by three components, held-out rows")
ax.xaxis.set_major_formatter("{x:.0%}")
ax.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
ax.spines[["top", "right", "left"]].set_visible(False)
ax.tick_params(left=False)
plt.show()
