"""Places outside a run's folder where parts of its tables may lie: another folder, or a bucket (s3://, gs://).

The one door to pyarrow's file systems. A place is a text, so that it can be written down and sent to other machines; it
holds no credentials, which are each machine's own.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import pyarrow as pa

from featurelib.schema import Refusal
from featurelib.storage import files

BUCKETS = ("s3", "gs")
"""The schemes of object stores."""
QUERY = {"s3": ("region", "endpoint_override", "scheme"), "gs": ("endpoint_override", "scheme")}
"""What may stand behind the ? of a place, as pyarrow calls it."""
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
CONNECT_SECONDS, ANSWER_SECONDS = 3.0, 10.0
ATTEMPTS = 3
"""How often a request is tried, by pyarrow's own pace: a place that is away for a moment does not end a build."""
FIRST_ANSWER_SECONDS = 5.0
"""How long the first question to a place may take, which is tried once: a wrong address is told within seconds."""
READ_BYTES = 8 * 2**20
REASONS: Mapping[str, tuple[str, str]] = {
    "NO_SUCH_BUCKET|bucket does not exist": ("there is no such bucket", "make the bucket, or name another"),
    "ACCESS_DENIED|INVALID_ACCESS_KEY|SIGNATURE_DOES_NOT_MATCH|INVALID_TOKEN|EXPIRED|HTTP status 40[13]|credentials|"
    "PermissionDenied|Unauthenticated": (
        "it refuses these credentials",
        "give credentials that may list, read, write and delete there, as its own tools read them from the environment",
    ),
    "NETWORK_CONNECTION|curlCode|[Tt]imed? ?out|Unavailable|Could not": (
        "it does not answer",
        "check the network and the address (AWS_ENDPOINT_URL, for a store that is not Amazon's)",
    ),
}
"""By what a store's own error holds: what that means, and the mend."""


def parse_place(text: str) -> str:
    """Return a place as it is written down: an absolute folder, or a bucket's address; Refusal where it is neither."""
    scheme, separator, _ = text.partition("://")
    if not separator:
        return Path(text).expanduser().absolute().as_posix()
    address = urlsplit(text)
    if scheme not in BUCKETS:
        raise Refusal(f"--parts is {_shown(text)}; a folder, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX is expected.")
    if "@" in address.netloc or ":" in address.netloc:
        raise Refusal(
            f"--parts {scheme}://… holds more than a bucket before the first /; credentials are read from the "
            "environment (such as AWS_ACCESS_KEY_ID) and never written down: leave them out."
        )
    query = parse_qsl(address.query, keep_blank_values=True)
    unknown = [name for name, _ in query if name not in QUERY[scheme]]
    if not address.netloc or address.fragment or unknown:
        found = f"'{unknown[0][:40]}' behind its ?" if unknown else "no bucket, or a #"
        raise Refusal(
            f"--parts is {scheme}://… with {found}; {scheme}://BUCKET/PREFIX is expected, with "
            f"{', '.join(QUERY[scheme])} behind a ? at most."
        )
    prefix = "/".join(name for name in address.path.split("/") if name)
    place = f"{scheme}://{address.netloc}" + (f"/{prefix}" if prefix else "")
    return place + (f"?{urlencode(sorted(query), quote_via=quote)}" if query else "")


def _shown(place: str) -> str:
    return place.partition("?")[0][:120]


@dataclass(frozen=True)
class Place:
    """A place, open: it holds files, called objects in a bucket, under keys such as run/g0001/embeddings/part-00000."""

    uri: str
    """As `parse_place` writes it."""

    @property
    def is_bucket(self) -> bool:
        """Whether it is a bucket, else a folder of this machine."""
        return "://" in self.uri

    @property
    def shown(self) -> str:
        """It in a sentence."""
        return _shown(self.uri)

    def path(self, key: str) -> Path:
        """Where the file `key` of a folder lies."""
        return Path(self.uri) / key

    def write(self, key: str, content: pa.Buffer | bytes) -> None:
        """Write one file: whole or absent, or replaced in one step. Refusal where the place does not take it."""
        if not self.is_bucket:
            files.write_aside(self.path(key), lambda aside: aside.write_bytes(memoryview(content)))
            return
        with self._answering():
            # an object is there when its upload is closed, not before
            with self._system.open_output_stream(self._object(key), buffer_size=0) as stream:
                stream.write(content)
            n_bytes = self._system.get_file_info(self._object(key)).size
        if n_bytes != len(memoryview(content)):
            raise Refusal(
                f"{self.shown}/{key} has {n_bytes} bytes after {len(memoryview(content))} were written; give the same "
                "command again, it goes on where it was."
            )

    def read(self, key: str) -> bytes | None:
        """Return the content of a small file; None where it is not there."""
        try:
            if not self.is_bucket:
                return self.path(key).read_bytes()
            with self._answering(missing_too=False), self._system.open_input_stream(self._object(key)) as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            return None

    @contextlib.contextmanager
    def open(self, key: str) -> Iterator[Any]:
        """Give a file to read from any position in it; Refusal where it cannot be read, or no longer."""
        with self._answering(), self._open(key) as opened:
            yield opened

    def read_at(self, key: str) -> Callable[[int, int], bytes]:
        """Return what reads so many bytes of a file from a position on; Refusal, then and now, where it cannot."""
        with self._answering():
            opened = self._open(key)

        def read(n_bytes: int, start: int) -> bytes:
            with self._answering():
                return bytes(opened.read_at(n_bytes, start))

        return read

    def _open(self, key: str) -> Any:
        return self._system.open_input_file(self._object(key)) if self.is_bucket else pa.OSFile(str(self.path(key)))

    def sha256(self, key: str) -> str:
        """Read a file back and return its hexadecimal sha256; FileNotFoundError where it is missing."""
        if not self.is_bucket:
            return files.sha256_file(self.path(key))
        digest = hashlib.sha256()
        with self._answering(missing_too=False), self._system.open_input_stream(self._object(key)) as stream:
            while piece := stream.read(READ_BYTES):
                digest.update(piece)
        return digest.hexdigest()

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the bytes of each file under a folder by its key, as the place lists it; none where there is none."""
        if not self.is_bucket:
            paths = self.path(folder).rglob("*")
            return {path.relative_to(self.uri).as_posix(): path.stat().st_size for path in paths if path.is_file()}
        from pyarrow.fs import FileSelector

        selector = FileSelector(self._object(folder), allow_not_found=True, recursive=True)
        with self._answering():
            listed = self._system.get_file_info(selector)
        return {entry.path.removeprefix(self._object("")): entry.size for entry in listed if entry.is_file}

    def remove(self, keys: Iterable[str]) -> None:
        """Remove files, those that are there; folders that become empty go too."""
        by_folder: dict[str, set[str]] = {}
        for key in keys:
            by_folder.setdefault(key.rpartition("/")[0], set()).add(key)
        for folder, own in by_folder.items():
            there = self.sizes(folder).keys()
            self._remove(folder, own & there, whole=there <= own)

    def _remove(self, folder: str, keys: set[str], *, whole: bool) -> None:
        if not self.is_bucket:
            for key in keys:
                files.remove(self.path(key))
            if whole:
                with contextlib.suppress(OSError):  # somebody has just written into it, or it is gone
                    self.path(folder).rmdir()
            return
        with self._answering():
            if whole and keys:
                self._system.delete_dir(self._object(folder))
            for key in () if whole else sorted(keys):
                self._system.delete_file(self._object(key))

    def check(self) -> None:
        """Ask a bucket once, within seconds, whether it is there; Refusal with what it says."""
        if not self.is_bucket:
            return
        from pyarrow.fs import FileType

        with self._answering():
            found = _open_system(self.uri, FIRST_ANSWER_SECONDS, 1).get_file_info(_bucket(self.uri))
        if found.type == FileType.NotFound:
            raise self._refusal("the bucket does not exist")

    def _object(self, key: str) -> str:
        return f"{_bucket_and_prefix(self.uri)}/{key}"

    @property
    def _system(self) -> Any:
        return _open_system(self.uri, ANSWER_SECONDS, ATTEMPTS)

    @contextlib.contextmanager
    def _answering(self, *, missing_too: bool = True) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            if not missing_too:
                raise
            raise Refusal(
                f"an object is missing in {self.shown} ({_first_line(error)}); bring it back, or build the stage that "
                "wrote it again with --from."
            ) from error
        except OSError as error:
            raise self._refusal(_first_line(error)) from error

    def _refusal(self, said: str) -> Refusal:
        known = (reason for pattern, reason in REASONS.items() if re.search(pattern, said))
        meaning, mend = next(known, ("it reports an error", "mend that"))
        return Refusal(
            f"{self.shown} cannot be used for parts: {meaning} ({said[:200].strip()}); {mend}, and give the same "
            "command again: parts that are finished stay."
        )


def _first_line(error: OSError) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    # neither which object it was nor the number of the request helps whoever reads the sentence
    of_amazon = re.search(r"AWS Error .*", lines[0])
    return re.sub(r" \(Request ID: [^)]*\)", "", of_amazon[0] if of_amazon else lines[0])


def _bucket(uri: str) -> str:
    return urlsplit(uri).netloc


def _bucket_and_prefix(uri: str) -> str:
    address = urlsplit(uri)
    return address.netloc + unquote(address.path)


def _open_system(uri: str, seconds: float, attempts: int) -> Any:
    """The file system of a bucket; whoever asks it first waits `seconds` for an answer at most, `attempts` times."""
    address = urlsplit(uri)
    asked = dict(parse_qsl(address.query))
    if address.scheme == "gs":
        return _open_gs(asked.get("endpoint_override"), asked.get("scheme") or "https", seconds * attempts)
    endpoint = asked.get("endpoint_override") or _first_set(ENDPOINTS) or ""
    scheme, _, host = endpoint.rpartition("://")
    region = asked.get("region") or _first_set(REGIONS)
    return _open_s3(region, host.rstrip("/") or None, asked.get("scheme") or scheme or "https", seconds, attempts)


@lru_cache(maxsize=16)
def _open_s3(region: str | None, endpoint: str | None, scheme: str, seconds: float, attempts: int) -> Any:
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

    return S3FileSystem(
        region=region,
        endpoint_override=endpoint,
        scheme=scheme,
        connect_timeout=min(CONNECT_SECONDS, seconds),
        request_timeout=seconds,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=attempts),
        # a part of a few megabytes is one request, which a killed build cannot leave half done
        allow_delayed_open=True,
    )


@lru_cache(maxsize=16)
def _open_gs(endpoint: str | None, scheme: str, seconds: float) -> Any:
    from pyarrow.fs import GcsFileSystem

    return GcsFileSystem(endpoint_override=endpoint, scheme=scheme, retry_time_limit=timedelta(seconds=seconds))


def _first_set(names: Iterable[str]) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)
