"""Gated attention over tokens (Ilse et al. 2018), as STF-Net has it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GatedPooling(nn.Module):
    """Tokens B x N x D -> their weighted mean B x D.

    The weights of a clip are softmax(w (tanh(V x) * sigmoid(U x))) over its tokens.

    Args:
        width: D.
        hidden: rows of V and U.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.content = nn.Linear(width, hidden, bias=False)  # V
        self.gate = nn.Linear(width, hidden, bias=False)  # U
        self.score = nn.Linear(hidden, 1, bias=False)  # w
        for layer in (self.content, self.gate, self.score):
            nn.init.kaiming_uniform_(layer.weight)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map B x N x D to B x D."""
        return (self.weights(tokens)[:, None] @ tokens).squeeze(1)

    def weights(self, tokens: Tensor) -> Tensor:
        """Compute how much each token counts, B x N, rows of which sum to 1."""
        gated = torch.tanh(self.content(tokens)) * torch.sigmoid(self.gate(tokens))
        return torch.softmax(self.score(gated).squeeze(2), dim=1)


class TokenGatedPooling(GatedPooling):
    """All tokens of Features, wherever they lie, -> B x D."""

    def forward(self, features):  # type: ignore[no-untyped-def]
        """Map Features to vectors."""
        return super().forward(features.tokens.flatten(1, -2))
