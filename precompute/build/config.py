"""What a build is asked for: one frozen dataclass, filled from flags or from a file with the same keys."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from featurelib.embedder import DEFAULT_EMBEDDER, Embedder, HiddenStateOptions, open_embedder
from featurelib.embedder.backends import BACKENDS
from featurelib.embedder.hidden_states import POOLINGS
from featurelib.embedder.precomputed import precomputed_dimension
from featurelib.llm.prompts import FORMS
from featurelib.sae.training.loggers import LOGGERS
from featurelib.sae.training.registry import ARCHITECTURES
from featurelib.storage.parts.part_places import parse_place
from precompute.build.config_checks import check
from precompute.build.memory import DEFAULT_MEMORY, memory_bytes
from precompute.engines import ENGINES


def _option(default: Any, text: str, *, choices: tuple[str, ...] = ()) -> Any:
    return field(default=default, metadata={"help": text, "choices": choices})


@dataclass(frozen=True)
class BuildConfig:
    """One build; every field is a flag (`--text-column`) and a YAML key (`text_column`)."""

    source: str = _option("", "file (csv, tsv, json, jsonl, parquet), folder of them or of .txt, or Hugging Face id")
    name: str = _option("", "name of the run: its folder in the data folder")
    text_column: str | None = _option(None, "column that holds the text (default: the only obvious one)")
    title_column: str | None = _option(None, "column put in front of the text, with '. ' between")
    id_column: str | None = _option(None, "column that identifies a text (default: the row number)")
    encoding: str | None = _option(
        None, "encoding of a text file that is not UTF-8, such as cp1251 or gb18030 (default: detected)"
    )
    sample: int | None = _option(None, "only the first N usable texts")
    shuffle: bool = _option(False, "draw the sample at random by the seed instead of from the top")
    seed: int = _option(0, "seed of everything that is drawn")
    embedder: str | None = _option(
        None, f"sentence-transformers model, local folder or hub id (default {DEFAULT_EMBEDDER})"
    )
    revision: str | None = _option(None, "revision of the embedder on the hub")
    prompt: str | None = _option(None, "text put before every text when it is embedded")
    normalize: bool | None = _option(None, "bring embeddings to length 1 (default: as the embedder does)")
    max_seq_length: int | None = _option(None, "tokens after which the embedder stops reading (default: its own)")
    layer: str | None = _option(
        None,
        "read the hidden states of a transformers model: a layer's number (what leaves that block), or a hook such as "
        "blocks.12.hook_resid_pre; several with commas make several runs",
    )
    pooling: str | None = _option(
        None,
        "how the hidden states of a text's tokens become its embedding (default mean); none: a token run, whose SAE "
        "reads single tokens",
        choices=POOLINGS,
    )
    pool: str | None = _option(
        None,
        "token runs: how a text's activation comes from those of its tokens: max (default), mean, sum, last, or topN "
        "(the N largest features of each token count 1, and are added up)",
    )
    context_size: int | None = _option(
        None, "tokens that the model reads at a time; a longer text is read in windows (default: its own, at most 1024)"
    )
    bos: bool | None = _option(None, "begin each window with the BOS token (default: where the model has one)")
    special_tokens: bool | None = _option(
        None, "let the hidden states of BOS and other tokens that are not the text's count too (default: no)"
    )
    chat_template: bool | None = _option(None, "put each text into the model's chat template (default: no)")
    dtype: str | None = _option(
        None,
        "numbers that the model computes with (default: float32 on a CPU; on a GPU float16 for a sentence encoder, "
        "bfloat16 for hidden states); bfloat16 is faster on CPUs that have instructions for it",
        choices=("float32", "bfloat16", "float16"),
    )
    keep_embeddings: bool | None = _option(
        None, "token runs: store the hidden state of every token (default: yes); no: read them from the model each time"
    )
    embeddings: str | None = _option(
        None, "precomputed embeddings, FILE.npy or FILE.parquet:COLUMN, instead of an embedder"
    )
    embedding_dtype: str = _option("float32", "how embeddings are stored", choices=("float32", "float16"))
    append: bool = _option(
        False,
        "add the texts of SOURCE to the complete run NAME: they alone are embedded and encoded, by its embedder and "
        "its SAE; columns and options are the run's",
    )
    device: str = _option("auto", "where embedding, training and encoding run", choices=("auto", "cpu", "cuda"))
    embed_backend: str | None = _option(
        None,
        "what computes a sentence encoder on a CPU (default torch): onnx (ONNX Runtime) or openvino, packages of their "
        "own that give the same embeddings to 1e-6",
        choices=BACKENDS,
    )
    batch_size: int | None = _option(None, "texts embedded at a time (default: by device)")
    memory: str = _option(
        DEFAULT_MEMORY, f"how much a stage may keep in memory of its rows, such as 2GB (default {DEFAULT_MEMORY})"
    )
    engine: str = _option(
        "local", "who embeds and encodes: this process (local), or the machines of a Ray cluster", choices=ENGINES
    )
    address: str | None = _option(
        None, "the Ray cluster: HOST:PORT, auto (default: the one of this machine), or local, to start one here"
    )
    parts: str | None = _option(
        None,
        "where the tables that are written in parts go (embeddings, activations, tokens): another folder, or a bucket, "
        "s3://BUCKET/PREFIX or gs://BUCKET/PREFIX (default: with the rest of the run)",
    )
    features: int | None = _option(None, "number of features (default: from the size of the corpus)")
    k: int | None = _option(
        None, "target L0: active features per text (default: from the number of features; with --sae: what it says)"
    )
    architecture: str | None = _option(
        None,
        "kind of SAE that is trained (default batchtopk), or that --sae is, where its file does not say",
        choices=ARCHITECTURES,
    )
    epochs: int | None = _option(None, "passes over the training texts (default: from the size of the corpus)")
    patience: int | None = _option(
        None, "stop training when so many of 20 measurements in a row are no better (default: train to the end)"
    )
    logger: str = _option("none", "where training can be watched while it runs", choices=LOGGERS)
    sae: str | None = _option(
        None,
        "an SAE that exists, instead of training: a file, a folder, a run, org/name[/folder] on the Hugging Face hub, "
        "or wandb:entity/project/name:version",
    )
    threshold: float | None = _option(None, "activation threshold put in place of the SAE's own, or that it lacks")
    keyword_texts: int = _option(10, "top texts of a feature that its keywords are taken from")
    merge_at: float = _option(0.9, "cosine at which two keywords of one text count as one")
    pair_at: float = _option(0.4, "cosine to the text from which a pair of words counts as a keyword")
    cluster_at: float = _option(0.75, "cosine at which keywords of a feature are clustered (the baseline: 0.8)")
    keyword_embedder: str | None = _option(
        None, f"embedder of the keywords (default: that of the run; with --layer {DEFAULT_EMBEDDER})"
    )
    language: str | None = _option(
        None, "languages of the texts, such as zh or de,fr, for words and stop words of labels (default: auto)"
    )
    attributed_texts: int = _option(10, "top texts of a feature of which attributions are stored")
    labeller: str | None = _option(
        None, "address of an OpenAI-compatible server that describes features, such as http://localhost:8000/v1"
    )
    labeller_model: str | None = _option(None, "model of the labeller")
    labeller_prompts: str | None = _option(
        None,
        "how the labeller is asked (default full); short: one plain question a text, for small models",
        choices=FORMS,
    )
    labeller_context: int | None = _option(
        None, "tokens that the labeller can read at once, to which texts are cut (default: until its server complains)"
    )
    labelled_features: int | None = _option(
        None, "how many features the labeller describes, the densest that are not dense first (default: all live ones)"
    )

    def __post_init__(self) -> None:
        """Refuse values that contradict each other or their range."""
        if self.embed_backend == "torch":
            # the default, said: no other build than without it
            object.__setattr__(self, "embed_backend", None)
        check(self)
        if self.parts is not None:
            object.__setattr__(self, "parts", parse_place(self.parts))

    @property
    def memory_bytes(self) -> int:
        """How many bytes of its rows a stage may keep in memory; Python, libraries and models come on top."""
        return memory_bytes(self.memory)

    @property
    def has_embedder(self) -> bool:
        """Whether it is known what makes the embeddings, so that other strings can be embedded like the texts."""
        return bool(self.embedder or not self.embeddings)

    @property
    def has_tokens(self) -> bool:
        """Whether it is a token run: its SAE reads the hidden state of each token."""
        return self.layer is not None and self.pooling == "none"

    @property
    def hidden_states(self) -> HiddenStateOptions | None:
        """How hidden states are read; None for a sentence encoder."""
        if self.layer is None:
            return None
        return HiddenStateOptions(
            hook=self.layer,
            pooling=self.pooling or "mean",
            context_size=self.context_size,
            bos=self.bos,
            special_tokens=bool(self.special_tokens),
            chat_template=bool(self.chat_template),
            dtype=self.dtype,
        )

    def elsewhere(self, device: str) -> BuildConfig:
        """What a worker on another machine needs of it, on its device: nothing that watches training or labels."""
        nobody: dict[str, Any] = dict.fromkeys(name for name in fields() if name.startswith("labelle"))
        # a backend other than torch computes on the CPU, whatever the worker has
        return dataclasses.replace(self, device="cpu" if self.embed_backend else device, logger="none", **nobody)

    def open_embedder(self) -> Embedder:
        """The embedder of the texts, loaded; the one that was opened last is kept."""
        return open_embedder(
            self.embedder,
            revision=self.revision,
            prompt=self.prompt,
            normalize=self.normalize,
            max_seq_length=self.max_seq_length,
            device=self.device,
            hidden_states=self.hidden_states,
            backend=self.embed_backend or "torch",
            dtype=self.dtype,
        )

    def find_dimension(self) -> int:
        """The dimension of the embeddings: that of their file, or of the embedder, which is then loaded."""
        if self.embeddings:
            return precomputed_dimension(self.embeddings)
        return self.open_embedder().facts.dimension


def one_each_layer(keys: dict[str, Any]) -> list[BuildConfig]:
    """Return the build of some keys; of several layers, with commas between, one for each, called NAME-layer15."""
    layers = [layer.strip() for layer in str(keys.get("layer") or "").split(",")]
    if len(layers) == 1:
        return [BuildConfig(**keys)]
    return [
        BuildConfig(
            **keys | {"layer": layer, "name": f"{keys['name']}-{f'layer{layer}' if layer.isdigit() else layer}"}
        )
        for layer in layers
    ]


def fields() -> dict[str, dataclasses.Field[Any]]:
    """The fields of BuildConfig by name."""
    return {own.name: own for own in dataclasses.fields(BuildConfig)}


def plain_type(name: str) -> type:
    """The type of a field's value, without None."""
    hint = get_type_hints(BuildConfig)[name]
    types: list[type] = [kind for kind in getattr(hint, "__args__", (hint,)) if kind is not type(None)]
    return types[0]
