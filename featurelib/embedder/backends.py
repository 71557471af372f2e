"""Another program that computes a sentence-transformers model's transformer: ONNX Runtime or OpenVINO.

Only the transformer is exchanged; tokenizer, pooling and what stands behind it stay those of sentence-transformers. Its
own `backend="onnx"` needs optimum-onnx, which wants transformers below 4.58, while sentence-transformers 6.2 wants one
from 5.0: both cannot be installed. So the transformer is exported here, once for each weights and versions, into
~/.cache/feature-browser. It is float32, as with torch, and both are compared on three texts before any other
is embedded. OpenVINO computes it in bfloat16 too, where that is asked for.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from featurelib.embedder.lookup import EmbedderFiles
from featurelib.schema import Refusal
from featurelib.storage import files
from featurelib.storage.converted import converted

BACKENDS = ("torch", "onnx", "openvino")
"""What `--embed-backend` may be."""
PACKAGES = {"onnx": ("onnxruntime", "onnx", "onnxscript"), "openvino": ("openvino",)}
"""The packages that a backend needs."""
PROBES = ("a", "Two texts of another length, which are read together.")
CHECKED = ("Three texts of which one is long: " + "it says the same again and again, " * 6, "b", "a few words")
"""Texts of other numbers and lengths than those that a model is exported with."""
SAME_STATE = {"float32": 1e-3, "bfloat16": 0.05}
"""How far token states may be from those of torch in float32, over the largest of them: 1e-6 and 3e-3 with MiniLM."""
FAILURES = (RuntimeError, ValueError, TypeError, KeyError, AttributeError, IndexError, NotImplementedError, OSError)
"""What an export raises that a model is not made for; each library's own errors are kinds of these."""

PRECISION = "INFERENCE_PRECISION_HINT"
"""OpenVINO's name for the numbers it computes with; where a CPU cannot, it takes others."""

Run = Callable[[list[np.ndarray]], np.ndarray]
"""From the inputs of a transformer, int64 [n, length] each, to its last hidden states, float32 [n, length, d]."""


class Versions(NamedTuple):
    """What run.json says of a backend."""

    name: str
    """onnx or openvino."""
    version: str
    """The version of the package that computes."""


def find_backend(name: str) -> Versions:
    """Return the version of a backend; Refusal, with the command to install it, when a package is missing."""
    if name not in PACKAGES:
        raise Refusal(f"the backend '{name[:40]}' is not known; one of {', '.join(BACKENDS)} is expected.")
    missing = [package for package in PACKAGES[name] if importlib.util.find_spec(package) is None]
    if missing:
        raise Refusal(
            f"--embed-backend {name} needs {' and '.join(missing)}, which {'are' if missing[1:] else 'is'} not "
            f"installed; pip install {' '.join(PACKAGES[name])}, or leave --embed-backend out."
        )
    return Versions(name, importlib.metadata.version(PACKAGES[name][0]))


def use_backend(model: Any, backend: str, model_files: EmbedderFiles, precision: str) -> None:
    """Let `backend` compute the transformer of a loaded sentence-transformers model, on the CPU, in `precision`.

    Raises Refusal where a package is missing, or where the model cannot be exported or then gives other states.
    """
    import torch

    find_backend(backend)
    if backend == "onnx" and precision != "float32":
        raise Refusal(f"ONNX Runtime computes in float32, not in {precision}; ask for openvino or for torch.")
    if type(model[0]).__name__ != "Transformer":
        raise Refusal(f"{model_files.name} has no transformer to export; leave --embed-backend {backend} out.")
    with torch.no_grad():  # an exporter cannot follow the tensors of inference_mode
        features = model.preprocess(list(PROBES))
        names = _input_names(model[0], features)
        checked = model.preprocess(list(CHECKED))
        expected = model[0](dict(checked))["token_embeddings"]
    try:
        path = _exported(model[0].model, names, features, backend, model_files)
        model[0].model = _exchanged(model[0].model, names, _OPEN[backend](path, precision))
        with torch.inference_mode():
            states = model[0](dict(checked))["token_embeddings"]
    except Refusal:
        raise
    except FAILURES as error:
        reason = " ".join(str(error).split())[:160]
        raise Refusal(
            f"{model_files.name} cannot be exported for {backend} ({type(error).__name__}: {reason}); "
            f"leave --embed-backend out."
        ) from error
    difference = float((states - expected)[checked["attention_mask"].bool()].abs().max() / expected.abs().max())
    if not difference < SAME_STATE[precision]:
        raise Refusal(
            f"{backend} gives other token states of {model_files.name} than torch (by {difference:.1e} of the largest, "
            f"below {SAME_STATE[precision]} is expected); leave --embed-backend out."
        )


def _input_names(transformer: Any, features: dict[str, Any]) -> list[str]:
    """The inputs of a transformer, in the order of its `forward`."""
    import inspect

    import torch

    given = [name for name, value in features.items() if torch.is_tensor(value) and value.ndim == 2]
    return [name for name in inspect.signature(transformer.model.forward).parameters if name in given]


def _exchanged(model: Any, names: list[str], run: Run) -> Any:
    """A module that stands in the place of a transformers model and lets `run` compute."""
    import torch
    from transformers.modeling_outputs import BaseModelOutput

    class Exchanged(torch.nn.Module):
        """Takes what the model takes and returns its last hidden states."""

        def __init__(self) -> None:
            super().__init__()
            self.config = model.config

        def forward(self, **inputs: Any) -> Any:
            states = run([np.ascontiguousarray(inputs[name].numpy()) for name in names])
            return BaseModelOutput(last_hidden_state=torch.from_numpy(states))

    return Exchanged()


def _wrapped(model: Any, names: list[str]) -> Any:
    """The model as a function of tensors alone, which exporters can follow."""
    import torch

    class Wrapped(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: Any) -> Any:
            return self.model(**dict(zip(names, inputs, strict=True)), return_dict=True).last_hidden_state

    return Wrapped().eval()


def _exported(model: Any, names: list[str], features: dict[str, Any], backend: str, model_files: EmbedderFiles) -> Path:
    """The folder of the exported model, made when it is not there; its key is the weights and all versions."""
    packages = ("torch", "transformers", *PACKAGES[backend])
    key = {package: importlib.metadata.version(package) for package in packages} | {"files": model_files.files_sha256}

    def convert(folder: Path) -> None:
        with _silent():
            _EXPORT[backend](_wrapped(model, names), tuple(features[name] for name in names), names, folder)

    return converted(f"{backend}-{files.fingerprint(key)}", convert)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep exporters from printing their steps and warnings of code that is not ours."""
    import io
    import logging

    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _export_onnx(wrapped: Any, inputs: tuple[Any, ...], names: list[str], folder: Path) -> None:
    import torch

    dynamic = torch.export.Dim.DYNAMIC
    torch.onnx.export(
        wrapped,
        inputs,
        str(folder / "model.onnx"),
        dynamo=True,
        verbose=False,
        input_names=names,
        output_names=["states"],
        dynamic_shapes=((({0: dynamic, 1: dynamic},) * len(names)),),
    )


def _import_openvino() -> Any:
    """Import OpenVINO without openvino-telemetry, which would report each import and export to its makers.

    OpenVINO takes a stand-in of its own where that package cannot be imported.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None makes an import fail
    import openvino

    return openvino


def _export_openvino(wrapped: Any, inputs: tuple[Any, ...], names: list[str], folder: Path) -> None:
    openvino = _import_openvino()
    model = openvino.convert_model(wrapped, example_input=inputs)
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)


def _open_onnx(folder: Path, precision: str) -> Run:
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # on Windows it reports to its makers
    options = onnxruntime.SessionOptions()
    # batches are spread over threads by the caller
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    names = [own.name for own in session.get_inputs()]

    def run(inputs: list[np.ndarray]) -> np.ndarray:
        states: np.ndarray = session.run(None, dict(zip(names, inputs, strict=True)))[0]
        return states

    return run


def _open_openvino(folder: Path, precision: str) -> Run:
    import torch

    openvino = _import_openvino()
    n_threads = torch.get_num_threads()
    numbers = openvino.Type.bf16 if precision == "bfloat16" else openvino.Type.f32
    options = {
        PRECISION: numbers,
        "NUM_STREAMS": n_threads,
        "INFERENCE_NUM_THREADS": n_threads,
        "ENABLE_CPU_PINNING": False,
    }
    compiled = openvino.Core().compile_model(folder / "model.xml", "CPU", options)
    if compiled.get_property(PRECISION) != numbers:
        raise Refusal(f"OpenVINO does not compute in {precision} on this CPU; leave --dtype out.")
    own = threading.local()

    def run(inputs: list[np.ndarray]) -> np.ndarray:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        # a copy, because the next batch of this thread is computed in the same memory
        return np.array(own.request.infer(inputs)[0])

    return run


_EXPORT = {"onnx": _export_onnx, "openvino": _export_openvino}
_OPEN = {"onnx": _open_onnx, "openvino": _open_openvino}
