"""EchoFM's periodic contrast: time slots at one phase of the heart should look alike.

A slot is a step of the tokens in time (8 in 32 frames), and has one vector. All similarities are
cosines. No function depends on the other samples of the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

SIDE = 32
"""Height and width that frames are pooled to for the prior."""
TEMPERATURE = 0.1
"""Of the distributions that the cycle term compares."""
STILL = 1e-5
"""A slot whose movement is a smaller share of its picture stands still: that is rounding."""
EPSILON = 1e-7
"""Added to the difference of two vectors whose distance is taken, in each place."""


def similarities(vectors: Tensor) -> Tensor:
    """Return the cosines of all pairs: B x T x D -> B x T x T."""
    units = functional.normalize(vectors, dim=2)
    return units @ units.transpose(1, 2)


@torch.no_grad()
def pixel_prior(clips: Tensor, slots: int) -> Tensor:
    """Compute how alike the pictures of two slots are in what moves.

    Gray frames of a slot are averaged and pooled to 32 x 32. What all pixels of a slot have in
    common is taken away, then what all slots have in common: the anatomy that stands still.
    Brightness and contrast do not matter, so normalised clips give what pixels in [0, 1] do.

    A clip in which nothing moves has no similarities but 0.

    Args:
        clips: B x C x F x H x W.
        slots: T, a divisor of F.

    Returns:
        B x T x T cosines.
    """
    # Counted before a step and compared within it, so it is in float32 in both.
    with torch.autocast(clips.device.type, enabled=False):
        return _pixel_prior(clips, slots)


def _pixel_prior(clips: Tensor, slots: int) -> Tensor:
    gray = clips.mean(dim=1)
    pictures = gray.unflatten(1, (slots, -1)).mean(dim=2)
    pixels = functional.adaptive_avg_pool2d(pictures, SIDE).flatten(2)
    pixels = pixels - pixels.mean(dim=2, keepdim=True)
    moving = pixels - pixels.mean(dim=1, keepdim=True)
    is_still = moving.norm(dim=2) <= STILL * pixels.norm(dim=2)
    return similarities(moving.masked_fill(is_still[:, :, None], 0))


def candidates(prior: Tensor) -> tuple[Tensor, Tensor]:
    """Sort the slots by a prior, for each slot as an anchor (``v2``).

    A positive is more alike to the anchor than the mean of all others. A negative is not, and does
    not follow or precede the anchor.

    Args:
        prior: B x T x T.

    Returns:
        Whether they are positives and negatives, B x T x T each, the anchor first.
    """
    slots = prior.shape[1]
    place = torch.arange(slots, device=prior.device)
    distance = (place[:, None] - place[None, :]).abs()
    is_self = distance == 0
    mean = prior.masked_fill(is_self, 0).sum(dim=2, keepdim=True) / max(slots - 1, 1)
    is_above = prior > mean
    return is_above & ~is_self, ~is_above & (distance > 1)


def valid_anchors(prior: Tensor) -> Tensor:
    """Tell which slots have a positive and a negative by the prior, B x T."""
    positives, negatives = candidates(prior)
    return positives.any(dim=2) & negatives.any(dim=2)


def mined_triplets(prior: Tensor, vectors: Tensor, margin: float) -> Tensor:
    """Compute the triplet losses of hard examples (``v2``), 0 for an anchor that is not valid.

    Of the positives by the prior the least alike vector is taken, of the negatives the most alike.

    Args:
        prior: B x T x T.
        vectors: B x T x D.
        margin: by which the positive should be more alike.

    Returns:
        B x T, by anchor.
    """
    positives, negatives = candidates(prior)
    alike = similarities(vectors)
    infinity = float("inf")
    positive = alike.masked_fill(~positives, infinity).amin(dim=2)
    negative = alike.masked_fill(~negatives, -infinity).amax(dim=2)
    is_valid = valid_anchors(prior)
    gap = torch.where(is_valid, negative, 0) - torch.where(is_valid, positive, 0)
    losses: Tensor = (gap + margin).clamp(min=0)
    return losses * is_valid


def cycle_divergence(prior: Tensor, vectors: Tensor) -> Tensor:
    """Compute how far the vectors are from the prior's similarities (``v2``).

    For each slot, softmax over its similarities to the others makes a distribution, of the prior
    and of the vectors.

    Args:
        prior: B x T x T.
        vectors: B x T x D.

    Returns:
        The mean over slots of the Kullback-Leibler divergence from prior to vectors, (B,).
    """
    others = _without_self(prior).div(TEMPERATURE).log_softmax(dim=2)
    own = _without_self(similarities(vectors)).div(TEMPERATURE).log_softmax(dim=2)
    divergence = (others.exp() * (others - own)).sum(dim=2)
    return divergence.mean(dim=1)


def first_slot_triplets(vectors: Tensor, draws: Tensor, margin: float) -> Tensor:
    """Compute the triplet loss of the first slot of each clip (``paper``).

    Another slot is a positive when its vector is more alike to the first one's than the mean of the
    row of similarities, in which the first slot's own 1 counts. Else it is a negative. One of
    each is drawn. Their Euclidean distances are compared.

    Args:
        vectors: B x T x D.
        draws: B x 2 in [0, 1), for positive and negative.
        margin: by which the negative should be further away.

    Returns:
        (B,), 0 for a clip without a positive or without a negative.
    """
    alike = similarities(vectors.detach())[:, 0]
    is_positive = alike > alike.mean(dim=1, keepdim=True)
    is_negative = ~is_positive
    is_positive[:, 0] = False
    is_negative[:, 0] = False
    is_valid = is_positive.any(dim=1) & is_negative.any(dim=1)
    anchor = vectors[:, 0]
    positive = _at(vectors, _draw_one(is_positive, draws[:, 0]))
    negative = _at(vectors, _draw_one(is_negative, draws[:, 1]))
    near = functional.pairwise_distance(anchor, positive, eps=EPSILON)
    far = functional.pairwise_distance(anchor, negative, eps=EPSILON)
    losses: Tensor = (near - far + margin).clamp(min=0)
    return losses * is_valid


def _without_self(square: Tensor) -> Tensor:
    """Leave out the diagonal: B x T x T -> B x T x (T - 1)."""
    slots = square.shape[1]
    other = ~torch.eye(slots, dtype=torch.bool, device=square.device)
    return square[:, other].unflatten(1, (slots, slots - 1))


def _draw_one(choices: Tensor, draws: Tensor) -> Tensor:
    """Return the place of one of the choices B x T of each sample, the first where none is."""
    counts = choices.sum(dim=1)
    number = (draws * counts).long().clamp(max=(counts - 1).clamp(min=0))
    is_number = choices & (choices.cumsum(dim=1) == number[:, None] + 1)
    return is_number.long().argmax(dim=1)


def _at(vectors: Tensor, places: Tensor) -> Tensor:
    """Return each sample's vector at its place: B x T x D -> B x D."""
    return vectors[torch.arange(len(vectors), device=vectors.device), places]
