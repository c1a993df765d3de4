"""Embeddings of sequences that were encoded before in this session. Imports torch; import it inside functions only."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
import torch

from eregtools._settings import settings
from eregtools.models.inference import SlotEncoder

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from eregtools.models.epinformer import EPInformer

_OVERHEAD = 250
"""Bytes that an entry takes beside its embedding."""


class EmbeddingCache:
    """Embeddings by weights and sequence, the least recently used dropped first.

    The key is the content, not its name: weights that are trained on, another genome under the same name or shuffled
    sequence never find what is not theirs.
    """

    def __init__(self) -> None:
        self.entries: OrderedDict[bytes, bytes] = OrderedDict()
        self.size = 0

    def get(self, key: bytes) -> bytes | None:
        """Embedding under a key, which counts as used; ``None``: there is none."""
        if key in self.entries:
            self.entries.move_to_end(key)
        return self.entries.get(key)

    def keep(self, key: bytes, embedding: bytes, limit: int) -> None:
        """Add an embedding, and drop old ones until all take at most ``limit`` bytes."""
        if key not in self.entries:
            self.entries[key] = embedding
            self.size += len(embedding) + _OVERHEAD
        while self.size > limit:
            _, dropped = self.entries.popitem(last=False)
            self.size -= len(dropped) + _OVERHEAD


CACHE = EmbeddingCache()
"""The session's embeddings; empty as long as ``settings.embedding_cache`` is 0."""


class CachedSlotEncoder(SlotEncoder):
    """A :class:`SlotEncoder` that encodes what it has not encoded before in this session."""

    def __init__(self, model: EPInformer, device: torch.device) -> None:
        super().__init__(model, device)
        about = f"{model.fingerprint()} {model.config}"  # the weights do not say how an unknown base is encoded
        self.weights = blake2b(about.encode(), digest_size=64).digest()

    def __call__(self, codes: NDArray[np.uint8]) -> Tensor:
        """Embeddings ``(n, dim)`` of windows ``(n, window)``."""
        limit = settings.embedding_cache * 10**6
        if not limit or not len(codes):
            return super().__call__(codes)
        keys = [blake2b(row, key=self.weights, digest_size=16).digest() for row in np.ascontiguousarray(codes)]
        found = [CACHE.get(key) for key in keys]
        if missing := [at for at, embedding in enumerate(found) if embedding is None]:
            for at, row in zip(missing, super().__call__(codes[missing]).cpu().numpy(), strict=True):
                found[at] = row.tobytes()
                CACHE.keep(keys[at], row.tobytes(), limit)
        joined = bytearray().join(found)  # type: ignore[arg-type]
        return torch.frombuffer(joined, dtype=torch.float32).view(-1, self.dim).to(self.device)
